package access

import (
	"testing"
	"time"
)

func TestHowAnSMTPClientIsServed(t *testing.T) {
	denied := Verdict{Reason: "denied by smtp.ipmap.tab"}
	allowed := Verdict{Allow: true}
	for _, test := range []struct {
		name   string
		client SMTPClient
		want   SMTPVerdict
	}{
		{"nothing is known", SMTPClient{Map: allowed}, SMTPVerdict{Reason: "nothing is against it"}},
		{"relay", SMTPClient{Map: allowed, Relay: true}, SMTPVerdict{Relay: true, Reason: "nothing is against it"}},
		{"relay by property", SMTPClient{Map: allowed, Properties: []Properties{nil, {"Relay=1"}}}, SMTPVerdict{Relay: true, Reason: "nothing is against it"}},
		{"map", SMTPClient{Map: denied, DropCode: 1}, SMTPVerdict{Refuse: true, By: ByMap, Reason: denied.Reason}},
		{"map asks for a login", SMTPClient{Map: denied}, SMTPVerdict{Login: true, By: ByMap, Reason: denied.Reason}},
		{"map delays", SMTPClient{Map: denied, DropCode: -4}, SMTPVerdict{Delay: 4 * time.Second, Reason: denied.Reason}},
		{"spammer", SMTPClient{Map: allowed, Spammer: true, SpammerCode: 1}, SMTPVerdict{Refuse: true, By: BySpammers, Reason: "a row of spammers.tab with code 1"}},
		{"the longer delay", SMTPClient{Map: denied, DropCode: -9, Spammer: true, SpammerCode: -4},
			SMTPVerdict{Delay: 9 * time.Second, Reason: "a row of spammers.tab with code -4"}},
		{"spammer after a delay", SMTPClient{Map: denied, DropCode: -9, Spammer: true, SpammerCode: 2},
			SMTPVerdict{Refuse: true, By: BySpammers, Reason: "a row of spammers.tab with code 2"}},
		{"white list", SMTPClient{Map: denied, DropCode: 1, Spammer: true, SpammerCode: 1, Properties: []Properties{{"WhiteList"}}},
			SMTPVerdict{Reason: "the property WhiteList"}},
		{"no white list", SMTPClient{Map: denied, DropCode: 1, Properties: []Properties{{"WhiteList=0"}}}, SMTPVerdict{Refuse: true, By: ByMap, Reason: denied.Reason}},
		{"deny before white list", SMTPClient{Map: allowed, Properties: []Properties{{"WhiteList=1"}, {"Deny=1"}}},
			SMTPVerdict{Refuse: true, By: ByProperty, Reason: "the property Deny"}},
		{"list refuses", SMTPClient{Map: allowed, Listed: true, List: "bl.test.", ListCode: 1},
			SMTPVerdict{Refuse: true, By: ByList, Reason: "the list bl.test. with code 1"}},
		{"list asks for a login", SMTPClient{Map: allowed, Listed: true, List: "bl.test."},
			SMTPVerdict{Login: true, By: ByList, Reason: "the list bl.test. with code 0"}},
		{"list delays", SMTPClient{Map: allowed, Listed: true, List: "bl.test.", ListCode: -7},
			SMTPVerdict{Delay: 7 * time.Second, Reason: "the list bl.test. with code -7"}},
		{"list delays by a number above 1 too", SMTPClient{Map: allowed, Listed: true, List: "bl.test.", ListCode: 5},
			SMTPVerdict{Delay: 5 * time.Second, Reason: "the list bl.test. with code 5"}},
		{"an hour at most", SMTPClient{Map: allowed, Spammer: true, SpammerCode: -1 << 31},
			SMTPVerdict{Delay: time.Hour, Reason: "a row of spammers.tab with code -2147483648"}},
		{"no name", SMTPClient{Map: allowed, Nameless: true, NameCode: 3},
			SMTPVerdict{Login: true, By: ByName, Reason: "an address without a name in the DNS, and SMTP-RDNSCheck 3"}},
		{"no name delays", SMTPClient{Map: allowed, Nameless: true, NameCode: -3},
			SMTPVerdict{Delay: 3 * time.Second, Reason: "an address without a name in the DNS, and SMTP-RDNSCheck -3"}},
		{"no name, and nobody asks", SMTPClient{Map: allowed, Nameless: true}, SMTPVerdict{Reason: "nothing is against it"}},
		{"the list is named first", SMTPClient{Map: denied, Spammer: true, Listed: true, List: "bl.test.", Nameless: true, NameCode: 1},
			SMTPVerdict{Login: true, By: ByList, Reason: "the list bl.test. with code 0"}},
		{"refused by the map, whatever the list says", SMTPClient{Map: denied, DropCode: 1, Listed: true, ListCode: 1},
			SMTPVerdict{Refuse: true, By: ByMap, Reason: denied.Reason}},
		{"login and delay", SMTPClient{Map: denied, Nameless: true, NameCode: -3},
			SMTPVerdict{Login: true, By: ByMap, Delay: 3 * time.Second, Reason: denied.Reason}},
		{"white list before lists and names", SMTPClient{Map: allowed, Listed: true, ListCode: 1, Nameless: true, NameCode: 1, Properties: []Properties{{"WhiteList=1"}}},
			SMTPVerdict{Reason: "the property WhiteList"}},
	} {
		if got := test.client.Decide(); got != test.want {
			t.Errorf("%s: %+v, want %+v", test.name, got, test.want)
		}
	}
}

func TestPropertyValues(t *testing.T) {
	for value, want := range map[string]bool{
		"Relay": true, "Relay=1": true, "Relay=2x": true, "Relay=-1": true, "Relay=0": false, "Relay=": false, "Relay=yes": false, "relay=1": false, "Relay2=1": false,
	} {
		if got := (Properties{value}).Has(Relay); got != want {
			t.Errorf("%s: set %v, want %v", value, got, want)
		}
	}
}

func TestPropertiesThatAreOff(t *testing.T) {
	for value, want := range map[string]bool{
		"SenderDomainCheck=0": true, "SenderDomainCheck=00": true, "SenderDomainCheck": false, "SenderDomainCheck=1": false, "SenderDomainCheck=": false, "SenderDomainCheck=no": false,
	} {
		if got := (SMTPClient{Properties: []Properties{nil, {value}}}).Off(SenderDomainCheck); got != want {
			t.Errorf("%s: off %v, want %v", value, got, want)
		}
	}
}
