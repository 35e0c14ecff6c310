package tabfile_test

import (
	"fmt"
	"net/netip"

	"github.com/xmaild/xmaild/pkg/tabfile"
)

// Runs of tabs count once; an empty field has quotes.
func ExampleSplit() {
	fmt.Printf("%q\n", tabfile.Split("\"example.org\"\t\t\"a \\\"b\\\"\"\t7\t\"\""))
	// Output: ["example.org" "a \"b\"" "7" ""]
}

// A value that ends in a backslash stands without quotes, so that it is read
// back as it was.
func ExampleJoinCells() {
	line, err := tabfile.JoinCells(`C:\mail\`, `say "hi"`, "")
	fmt.Println(line, err)
	fmt.Printf("%q\n", tabfile.Split(line))
	// Output:
	// C:\mail\	"say \"hi\""	"" <nil>
	// ["C:\\mail\\" "say \"hi\"" ""]
}

func ExampleMatch() {
	fmt.Println(tabfile.Match("*.example.[a-o]rg", "mail.EXAMPLE.org"))
	fmt.Println(tabfile.Match(`a\*c`, "abc"))
	// Output:
	// true
	// false
}

func ExampleParseAddrRule() {
	rule, err := tabfile.ParseAddrRule("192.168.0.0", "255.255.0.0")
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(rule, rule.Matches(netip.MustParseAddr("::ffff:192.168.7.1")))
	_, err = tabfile.ParseAddrRule("10.0.0.0", "255.0.255")
	fmt.Println(err)
	// Output:
	// 192.168.0.0/16 true
	// bad netmask "255.0.255"
}
