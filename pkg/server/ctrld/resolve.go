package ctrld

import (
	"context"
	"errors"
	"net/netip"

	"github.com/xmaild/xmaild/pkg/ctrl"
	"github.com/xmaild/xmaild/pkg/server/explain"
)

// An Explainer says what would happen to a mail ([explain.Parts]).
type Explainer interface {
	Explain(ctx context.Context, q explain.Question) ([]explain.Step, error)
}

// WithExplainer returns a handler that answers resolve.
func (h *Handler) WithExplainer(e Explainer) *Handler {
	with := *h
	with.explainer = e
	return &with
}

var resolveCommands = map[string]command{"resolve": resolve}

func resolve(ctx context.Context, c *call) ctrl.Reply {
	q := explain.Question{To: c.args[0], From: c.arg(1, "")}
	if text := c.arg(2, ""); text != "" {
		ip, err := netip.ParseAddr(text)
		if err != nil || ip.Zone() != "" {
			return ctrl.Refuse(ctrl.CodeInvalid, "%.64q is no address of a host", text)
		}
		q.IP = ip.Unmap()
	}
	if c.explainer == nil {
		return ctrl.Refuse(ctrl.CodeInvalid, "no mail is served here")
	}
	if c.trying {
		return ctrl.List(func(*ctrl.ListWriter) error { return nil }) // nobody will ask for it
	}
	steps, err := c.explainer.Explain(ctx, q)
	if errors.Is(err, explain.ErrAddress) {
		return ctrl.Refuse(ctrl.CodeBadAddress, "%v", err)
	}
	if err != nil {
		c.log.Warn("what would happen to a mail is not known", "err", err)
		steps = append(steps, explain.Step{Name: "end", Result: "waits", Detail: err.Error()})
	}
	return ctrl.List(func(w *ctrl.ListWriter) error {
		for _, s := range steps {
			if err := w.Row(s.Name, s.Result, s.Detail); err != nil {
				return err
			}
		}
		return nil
	})
}
