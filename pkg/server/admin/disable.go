package admin

import (
	"context"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/mailroot"
)

// UserDisable closes an account to logins: POP3, SMTP AUTH, and SMTP after POP3;
// with noMail it gets no mail either. Its variables say so, PopEnable to the
// reference too, and with them what they were before. An account that is disabled
// already is disabled anew, with this reason.
func (s *Service) UserDisable(ctx context.Context, domain, name, reason string, noMail bool) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		u, err := requireAccount(tx.Tables, domain, name)
		if err != nil {
			return err
		}
		if err := checkSetting(Setting{mailroot.VarDisabled, reason}); err != nil {
			return err
		}
		if reason == RemoveVar {
			return refuse(Invalid, "%s is no reason", RemoveVar)
		}
		vars, err := tx.UserVars(u)
		if err != nil {
			return err
		}
		if vars.Disabled().On {
			if err := setUserVars(tx, u, enabled(vars)); err != nil {
				return err
			}
			if vars, err = tx.UserVars(u); err != nil {
				return err
			}
		}
		closed := []string{"PopEnable"}
		if noMail {
			closed = append(closed, "ReceiveEnable")
		}
		var before []string
		settings := []Setting{{mailroot.VarDisabled, reason}}
		for _, name := range closed {
			if value, ok := vars.Lookup(name); ok {
				before = append(before, name+"="+strings.ReplaceAll(value, ",", ""))
			} else {
				before = append(before, name)
			}
			settings = append(settings, Setting{name, "0"})
		}
		settings = append(settings, Setting{mailroot.VarDisabledBefore, strings.Join(before, ",")})
		return setUserVars(tx, u, settings)
	})
}

// UserEnable takes back what UserDisable did. A variable that was changed since
// stays as it is.
func (s *Service) UserEnable(ctx context.Context, domain, name string) error {
	return s.update(ctx, func(tx *mailroot.Tx) error {
		u, err := requireAccount(tx.Tables, domain, name)
		if err != nil {
			return err
		}
		vars, err := tx.UserVars(u)
		if err != nil {
			return err
		}
		if !vars.Disabled().On {
			return refuse(Conflict, "account %s@%s is not disabled", quote(u.Name), quote(u.Domain))
		}
		return setUserVars(tx, u, enabled(vars))
	})
}

// enabled are the settings that make a disabled account what it was.
func enabled(vars mailroot.Variables) []Setting {
	settings := []Setting{{mailroot.VarDisabled, RemoveVar}, {mailroot.VarDisabledBefore, RemoveVar}}
	before, _ := vars.Lookup(mailroot.VarDisabledBefore)
	for item := range strings.SplitSeq(before, ",") {
		name, value, there := strings.Cut(item, "=")
		if now, ok := vars.Lookup(name); !ok || now != "0" || name != "PopEnable" && name != "ReceiveEnable" {
			continue
		}
		if !there {
			value = RemoveVar
		}
		settings = append(settings, Setting{name, value})
	}
	return settings
}
