package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
)

// A kind is what import and export deal with: columns of a CSV file on one side,
// commands of the server on the other.
type kind struct {
	name    string
	columns []csvColumn
	// positions are the columns of a file without a header, in order; nil: all.
	positions []string
	// object names what a row is about, for messages and the report.
	object []string
	// plan returns the commands that make what a row says. Those after the first are
	// sent when the first was done.
	plan func(r *row) ([][]string, error)
}

// A csvColumn is a column of a CSV file.
type csvColumn struct {
	name     string
	aliases  []string
	optional bool
	free     bool // a value of any text, blanks at its ends included
}

// kinds returns all kinds in the order in which they build on each other.
func kinds() []kind {
	return []kind{
		{
			name: "domains", columns: []csvColumn{{name: "domain"}}, object: []string{"domain"},
			plan: simple("domainadd", "domain"),
		},
		{
			name: "users",
			columns: []csvColumn{
				{name: "domain"}, {name: "user", aliases: []string{"username"}},
				{name: "password", optional: true, free: true},
				{name: "stored", optional: true, free: true},
				{name: "type", optional: true},
				{name: "real-name", aliases: []string{"realname"}, optional: true, free: true},
				{name: "homepage", optional: true, free: true},
			},
			positions: []string{"domain", "user", "password", "real-name", "homepage"},
			object:    []string{"user", "domain"},
			plan:      planUser,
		},
		{
			name:    "uservars",
			columns: []csvColumn{{name: "domain"}, {name: "user", aliases: []string{"username"}}, {name: "name"}, {name: "value", free: true}},
			object:  []string{"user", "domain", "name"},
			plan:    simple("uservarsset", "domain", "user", "name", "value"),
		},
		{
			name:    "aliases",
			columns: []csvColumn{{name: "domain"}, {name: "alias"}, {name: "account"}},
			object:  []string{"alias", "domain"},
			plan:    simple("aliasadd", "domain", "alias", "account"),
		},
		{
			name:    "aliasdomains",
			columns: []csvColumn{{name: "real-domain"}, {name: "alias-domain"}},
			object:  []string{"alias-domain"},
			plan:    simple("aliasdomainadd", "real-domain", "alias-domain"),
		},
		{
			name:    "lists",
			columns: []csvColumn{{name: "domain"}, {name: "list"}, {name: "address"}, {name: "perms", optional: true}},
			object:  []string{"list", "domain", "address"},
			plan:    simple("mluseradd", "domain", "list", "address", "perms"),
		},
		{
			name: "links",
			columns: []csvColumn{
				{name: "domain"}, {name: "user", aliases: []string{"username"}}, {name: "remote-host"}, {name: "remote-user"},
				{name: "password", free: true}, {name: "authtype"}, {name: "enabled", optional: true},
			},
			object: []string{"user", "domain", "remote-user", "remote-host"},
			plan:   planLink,
		},
		{
			name:    "relays",
			columns: []csvColumn{{name: "address"}, {name: "mask", optional: true}},
			object:  []string{"address", "mask"},
			plan:    simple("relayadd", "address", "mask"),
		},
		{
			name:    "spammers",
			columns: []csvColumn{{name: "address"}, {name: "mask", optional: true}, {name: "params", optional: true}},
			object:  []string{"address", "mask"},
			plan:    simple("spammeradd", "address", "mask", "params"),
		},
		{
			name: "ipmaps",
			columns: []csvColumn{
				{name: "service"}, {name: "address"}, {name: "mask", optional: true},
				{name: "permission"}, {name: "precedence"}, {name: "expires", optional: true},
			},
			object: []string{"service", "address", "mask"},
			plan:   planMap,
		},
	}
}

// findKind returns the kind of that name.
func findKind(name string) (*kind, error) {
	var names []string
	for _, k := range kinds() {
		if k.name == name {
			return &k, nil
		}
		names = append(names, k.name)
	}
	return nil, usagef("%q is none of %s", name, strings.Join(names, ", "))
}

// column returns the column that a header calls name.
func (k *kind) column(name string) (csvColumn, bool) {
	name = strings.ToLower(strings.TrimSpace(name))
	for _, c := range k.columns {
		if c.name == name || slices.Contains(c.aliases, name) {
			return c, true
		}
	}
	return csvColumn{}, false
}

// columnNames lists the columns for messages.
func (k *kind) columnNames() string {
	var names []string
	for _, c := range k.columns {
		names = append(names, c.name)
	}
	return strings.Join(names, ", ")
}

// A row is one record of a file, and what became of it.
type row struct {
	line   int
	values map[string]string // by column
	object string
	steps  [][]string // its commands
	// generated is the password that was made for it.
	generated string
	// sentBefore says that an interrupted run sent it and never learnt the outcome.
	sentBefore bool

	verdict verdict
	code    string
	text    string
}

// describe sets the object of a row.
func (r *row) describe(k *kind) {
	var words []string
	for _, name := range k.object {
		if v := r.values[name]; v != "" {
			words = append(words, v)
		}
	}
	r.object = strings.Join(words, " ")
	switch k.name {
	case "users", "uservars", "aliases", "lists", "links":
		r.object = strings.Replace(r.object, " ", "@", 1)
	}
}

// simple plans one command of the values of columns. Empty ones at the end are left out
// where they are optional.
func simple(command string, columns ...string) func(*row) ([][]string, error) {
	return func(r *row) ([][]string, error) {
		words := []string{command}
		for _, c := range columns {
			v := r.values[c]
			switch c {
			case "mask", "params", "perms":
				if v == "" {
					continue
				}
			}
			words = append(words, v)
		}
		return [][]string{words}, nil
	}
}

// planUser adds an account and sets its variables.
func planUser(r *row) ([][]string, error) {
	domain, user, t := r.values["domain"], r.values["user"], r.values["type"]
	switch t {
	case "":
		t = "U"
	case "U", "M":
	default:
		return nil, fmt.Errorf("type %q is neither U nor M", t)
	}
	add := []string{"useradd", domain, user, r.password(), t}
	if stored := r.values["stored"]; stored != "" {
		add[3] = stored
		add = append(add, "stored")
	} else if add[3] == "" && t != "M" { // a mailing list needs none
		return nil, errors.New("no password; --generate-passwords makes one")
	}
	steps := [][]string{add}
	set := []string{"uservarsset", domain, user}
	for _, v := range [][2]string{{"real-name", "RealName"}, {"homepage", "HomePage"}} {
		if value := r.values[v[0]]; value != "" {
			set = append(set, v[1], value)
		}
	}
	if len(set) > 3 {
		steps = append(steps, set)
	}
	return steps, nil
}

// password returns the password that a row has, or that was made for it.
func (r *row) password() string {
	if r.generated != "" {
		return r.generated
	}
	return r.values["password"]
}

// planMap adds a row to an address map. When it expires is a number here, with the
// word before it on the wire.
func planMap(r *row) ([][]string, error) {
	add := []string{"ipmapadd"}
	for _, c := range []string{"service", "address", "mask", "permission", "precedence"} {
		add = append(add, r.values[c])
	}
	if at := r.values["expires"]; at != "" {
		add = append(add, "expires="+strings.TrimPrefix(at, "expires="))
	}
	return [][]string{add}, nil
}

// planLink adds a POP3 link, and switches it off where it is off.
func planLink(r *row) ([][]string, error) {
	v := r.values
	if v["password"] == "" {
		return nil, errors.New("no password")
	}
	steps := [][]string{{"poplnkadd", v["domain"], v["user"], v["remote-host"], v["remote-user"], v["password"], v["authtype"]}}
	switch strings.ToUpper(v["enabled"]) {
	case "", "ON", "1":
	case "OFF", "0":
		steps = append(steps, []string{"poplnkenable", "0", v["domain"], v["user"], v["remote-host"], v["remote-user"]})
	default:
		return nil, fmt.Errorf("enabled is %q, neither ON nor OFF", v["enabled"])
	}
	return steps, nil
}
