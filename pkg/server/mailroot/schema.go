package mailroot

import (
	"errors"
	"fmt"
	"maps"
	"path"
	"strconv"
	"strings"

	"github.com/xmaild/xmaild/pkg/server/access"
	"github.com/xmaild/xmaild/pkg/server/auth"
	"github.com/xmaild/xmaild/pkg/tabfile"
)

// The tables in MailRoot itself (docs/reference/tables.md 3).
const (
	AliasDomainTab = "aliasdomain.tab"
	AliasesTab     = "aliases.tab"
	AccountsTab    = "ctrlaccounts.tab"
	CtrlMapTab     = "ctrl.ipmap.tab"
	DomainsTab     = "domains.tab"
	ExtAliasesTab  = "extaliases.tab"
	LinksTab       = "pop3links.tab"
	ServerTab      = "server.tab"
	UserDefTab     = "userdef.tab"
	UsersTab       = "mailusers.tab"
)

// The tables that stand in other folders, by their names there.
const (
	MailProcTab = "mailproc.tab"
	MembersTab  = "mlusers.tab"
	UserTab     = "user.tab"
)

// Schemas returns the schema of every table in MailRoot itself, by file name.
func Schemas() map[string]*tabfile.Schema { return maps.Clone(rootSchemas) }

// rootSchemas has the schema of every table in MailRoot itself, by file name.
var rootSchemas = schemas()

func schemas() map[string]*tabfile.Schema {
	return map[string]*tabfile.Schema{
		AliasDomainTab:          aliasDomainSchema(),
		AliasesTab:              aliasSchema(),
		AccountsTab:             accountSchema(),
		DomainsTab:              domainSchema(),
		ExtAliasesTab:           extAliasSchema(),
		LinksTab:                linkSchema(),
		RightsTab:               rightsSchema(),
		ServerTab:               variableSchema(2, 1<<30),
		UserDefTab:              variableSchema(2, 2),
		UsersTab:                userSchema(),
		CtrlMapTab:              mapSchema(),
		FingerMapTab:            mapSchema(),
		POP3MapTab:              mapSchema(),
		SMTPMapTab:              mapSchema(),
		RelayTab:                networkTable(maskSecond),
		SpammersTab:             expiring(networkTable(maskIfDigit), maskIfDigit, spammerParams),
		IPPropTab:               networkTable(maskNever),
		HNPropTab:               nameSchema(1),
		SpamAddressTab:          patternSchema(1),
		SMTPAuthTab:             smtpAuthSchema(),
		ExtAuthTab:              {Columns: 2},
		ForwardsTab:             patternSchema(2),
		GatewaysTab:             patternSchema(2),
		"filters.in.tab":        {Columns: 5, Check: checkCIDR(2, 3)},
		"filters.out.tab":       {Columns: 5, Check: checkCIDR(2, 3)},
		"filters.post-rcpt.tab": {Columns: 1},
		"filters.pre-data.tab":  {Columns: 1},
		"filters.post-data.tab": {Columns: 1},
	}
}

// SchemaFor returns the schema of the table at a path relative to MailRoot that
// stands in a folder below it, and nil where no table can stand.
func SchemaFor(name string) *tabfile.Schema {
	if !strings.HasSuffix(name, ".tab") {
		return nil
	}
	dir, base := path.Split(name)
	top, _, _ := strings.Cut(dir, "/")
	switch {
	case top == "domains" && (base == UserTab || base == UserDefTab):
		return userVarsSchema
	case top == "domains" && base == MembersTab:
		return membersSchema
	case top == "domains" && base == POP3MapTab:
		return accountMapSchema
	case top == "domains" && base == MailProcTab, top == "custdomains", top == "cmdaliases":
		return wordsSchema
	case dir == hooksDir+"/":
		return hooksSchema
	case dir == "userauth/smtp/":
		return &tabfile.Schema{Columns: 3}
	}
	return nil
}

// The schemas of tables that are loaded on demand. They are never changed.
var (
	userVarsSchema   = variableSchema(2, 2)
	membersSchema    = memberSchema()
	hooksSchema      = hookSchema()
	accountMapSchema = mapSchema()
)

// key joins the columns of a key, without regard to the case of ASCII letters.
func key(columns ...string) string {
	return tabfile.Fold(strings.Join(columns, "\t"))
}

// byColumns is an index on columns, without regard to case.
func byColumns(name string, columns ...int) tabfile.Index {
	if len(columns) == 2 { // as in the largest tables
		first, second := columns[0], columns[1]
		return tabfile.Index{Name: name, Key: func(f []string) (string, bool) {
			return tabfile.Fold(f[first]) + "\t" + tabfile.Fold(f[second]), true
		}}
	}
	return tabfile.Index{Name: name, Key: func(f []string) (string, bool) {
		k := make([]string, len(columns))
		for i, c := range columns {
			k[i] = f[c]
		}
		return key(k...), true
	}}
}

// checkPassword refuses rows whose column holds no stored password.
func checkPassword(column int) func([]string) error {
	return func(f []string) error {
		_, err := auth.Parse(f[column])
		return err
	}
}

// checkReversible refuses rows whose column holds no password that can be known:
// digests and logins to other servers need it.
func checkReversible(column int) func([]string) error {
	return func(f []string) error {
		_, err := auth.Unscramble(f[column])
		return err
	}
}

func checkNetwork(f []string) error {
	_, err := network(f)
	return err
}

// network reads a row that begins with an address and perhaps a mask.
func network(f []string) (tabfile.AddrRule, error) {
	mask := ""
	if len(f) > 1 {
		mask = f[1]
	}
	return tabfile.ParseAddrRule(f[0], mask)
}

// checkNewNetwork refuses masks with gaps, which old rows may have.
func checkNewNetwork(f []string) error {
	rule, err := network(f)
	if err == nil && !rule.Contiguous() {
		err = fmt.Errorf("netmask %q has gaps", f[1])
	}
	return err
}

func checkCIDR(columns ...int) func([]string) error {
	return func(f []string) error {
		for _, c := range columns {
			if err := checkNetwork(f[c : c+1]); err != nil {
				return err
			}
		}
		return nil
	}
}

// mapSchema is an address map: address, mask, ALLOW or DENY, precedence, and
// perhaps when the row expires.
func mapSchema() *tabfile.Schema {
	return expiring(&tabfile.Schema{Columns: 4, Bare: 1 << 3, Indexes: networkIndexes(maskSecond), Check: func(f []string) error {
		if _, err := strconv.Atoi(f[3]); err != nil {
			return fmt.Errorf("bad precedence %q", f[3])
		}
		return checkNetwork(f)
	}, CheckNew: func(f []string) error {
		if len(f) > 4 {
			if _, err := access.Expiry(f[4]); err != nil {
				return err
			}
		}
		return checkNewNetwork(f)
	}}, maskSecond, mapParams)
}

// variableSchema is a table of names and values. server.tab takes further
// columns, user.tab and userdef.tab do not.
func variableSchema(least, most int) *tabfile.Schema {
	return &tabfile.Schema{
		Columns: least,
		Check: func(f []string) error {
			if len(f) > most {
				return fmt.Errorf("%d fields where %d are needed", len(f), most)
			}
			if f[0] == "" {
				return errors.New("a variable without a name")
			}
			return nil
		},
		Indexes: []tabfile.Index{{Name: "name", Key: func(f []string) (string, bool) { return f[0], true }}},
	}
}
