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
		{"map", SMTPClient{Map: denied, DropCode: 1}, SMTPVerdict{Refuse: true, Reason: denied.Reason}},
		{"map asks for a login", SMTPClient{Map: denied}, SMTPVerdict{Login: true, Reason: denied.Reason}},
		{"map delays", SMTPClient{Map: denied, DropCode: -4}, SMTPVerdict{Delay: 4 * time.Second, Reason: denied.Reason}},
		{"spammer", SMTPClient{Map: allowed, Spammer: true, SpammerCode: 1}, SMTPVerdict{Refuse: true, Reason: "a row of spammers.tab with code 1"}},
		{"the longer delay", SMTPClient{Map: denied, DropCode: -9, Spammer: true, SpammerCode: -4},
			SMTPVerdict{Delay: 9 * time.Second, Reason: "a row of spammers.tab with code -4"}},
		{"spammer after a delay", SMTPClient{Map: denied, DropCode: -9, Spammer: true, SpammerCode: 2},
			SMTPVerdict{Refuse: true, Reason: "a row of spammers.tab with code 2"}},
		{"white list", SMTPClient{Map: denied, DropCode: 1, Spammer: true, SpammerCode: 1, Properties: []Properties{{"WhiteList"}}},
			SMTPVerdict{Reason: "the property WhiteList"}},
		{"no white list", SMTPClient{Map: denied, DropCode: 1, Properties: []Properties{{"WhiteList=0"}}}, SMTPVerdict{Refuse: true, Reason: denied.Reason}},
		{"deny before white list", SMTPClient{Map: allowed, Properties: []Properties{{"WhiteList=1"}, {"Deny=1"}}},
			SMTPVerdict{Refuse: true, Reason: "the property Deny"}},
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
