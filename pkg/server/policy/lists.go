package policy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"sync"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/mailroot"
	"github.com/xmaild/xmaild/pkg/server/resolve"
)

// Lists asks the lists of CustMapsList for an address, within the time limit of the
// options, and returns their answers in the order of the variable: all of them, or
// until upTo says that it needs no more. Addresses that lists have no business with,
// as those of the loopback, are not asked for.
func (p *Policy) Lists(ctx context.Context, ip netip.Addr, upTo func(access.ListAnswer) bool) []access.ListAnswer {
	lists := access.ParseDNSLists(p.root.Vars().String("CustMapsList"))
	ip = ip.Unmap().WithZone("")
	if len(lists) == 0 || !ip.IsGlobalUnicast() || ip.IsPrivate() {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	var wait sync.WaitGroup
	defer wait.Wait()
	defer cancel()
	answers := make([]chan access.ListAnswer, len(lists))
	for i, list := range lists {
		answers[i] = make(chan access.ListAnswer, 1)
		wait.Go(func() { answers[i] <- p.askList(ctx, list, ip) })
	}
	var got []access.ListAnswer
	for i := range answers {
		a := <-answers[i]
		got = append(got, a)
		if upTo != nil && upTo(a) {
			break
		}
	}
	return got
}

// askList asks one list. That it has the address counts only after it is seen that
// it does not have every address.
func (p *Policy) askList(ctx context.Context, list access.DNSList, ip netip.Addr) access.ListAnswer {
	a := access.ListAnswer{DNSList: list}
	found, err := p.dns.LookupIP4(ctx, list.Name(ip))
	if errors.Is(err, resolve.ErrNotFound) {
		return a
	}
	if err != nil {
		a.Wrong = "it did not answer"
		p.log.Debug("smtp: list of the DNS does not answer", "list", list.Root, "err", err)
		return a
	}
	listed, refused := access.Listed(found)
	switch {
	case refused:
		a.Wrong = fmt.Sprintf("it does not answer this server (%v)", found[0])
	case !listed:
		a.Wrong = fmt.Sprintf("its answer %v is not in 127.0.0.0/8", found[0])
	default:
		canary, err := p.dns.LookupIP4(ctx, list.Name(access.Canary()))
		everybody, _ := access.Listed(canary)
		switch {
		case everybody:
			a.Wrong = "it lists 127.0.0.1, and so probably everybody"
		case err != nil && !errors.Is(err, resolve.ErrNotFound):
			a.Wrong = "it did not answer"
			return a
		default:
			a.Listed = true
		}
	}
	p.report(list.Root, a.Wrong)
	return a
}

// report logs what is wrong with a list once, and that it is no more.
func (p *Policy) report(root, wrong string) {
	p.mu.Lock()
	before := p.lists[root]
	p.lists[root] = wrong
	p.mu.Unlock()
	switch {
	case wrong == before:
	case wrong == "":
		p.log.Info("smtp: list of CustMapsList counts again", "list", root)
	default:
		p.log.Error("smtp: list of CustMapsList is switched off", "list", root, "reason", wrong)
	}
}

// lookIntoLists finds the first list that has a client.
func (p *Policy) lookIntoLists(ctx context.Context, facts *access.SMTPClient, vars mailroot.ServerVars, ip netip.Addr) {
	if vars.String("CustMapsList") == "" {
		return
	}
	p.Lists(ctx, ip, func(a access.ListAnswer) bool {
		if a.Listed {
			facts.Listed, facts.List, facts.ListCode = true, a.Root, a.Code
		}
		return a.Listed
	})
}
