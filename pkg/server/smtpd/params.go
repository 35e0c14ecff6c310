package smtpd

import (
	"math"
	"strconv"
	"strings"
)

// mailParams reads the parameters of MAIL: it takes SIZE, which may be greater than
// go-smtp believes, and leaves the rest to go-smtp, unknown ones excepted.
func (tx *transaction) mailParams(s string) (rest string, refusal *reply) {
	return params(s, func(name, value string) (ours bool, refusal *reply) {
		switch name {
		case "SIZE":
			n, ok := parseSize(value)
			if !ok {
				return true, &replyArguments
			}
			tx.size = n
			return true, nil
		case "BODY", "SMTPUTF8", "RET", "ENVID", "AUTH":
			return false, nil
		}
		return true, unknownParam("MAIL FROM")
	})
}

// rcptParams is the same for RCPT.
func rcptParams(s string) (rest string, refusal *reply) {
	return params(s, func(name, value string) (ours bool, refusal *reply) {
		if name == "NOTIFY" || name == "ORCPT" {
			return false, nil
		}
		return true, unknownParam("RCPT TO")
	})
}

func unknownParam(command string) *reply {
	r := say(555, "5.5.4", command+" parameter not recognized or not implemented")
	return &r
}

// params goes through parameters and returns those that take leaves, each with a
// blank before it. None may come twice.
func params(s string, take func(name, value string) (ours bool, refusal *reply)) (rest string, refusal *reply) {
	seen := make(map[string]bool)
	var left strings.Builder
	for word := range strings.FieldsFuncSeq(s, func(r rune) bool { return r == ' ' || r == '\t' }) {
		name, value, _ := strings.Cut(word, "=")
		name = strings.ToUpper(name)
		if seen[name] {
			return "", &replyArguments
		}
		seen[name] = true
		ours, refusal := take(name, value)
		if refusal != nil {
			return "", refusal
		}
		if !ours {
			left.WriteString(" " + word)
		}
	}
	return left.String(), nil
}

// parseSize reads the digits of SIZE (RFC 1870 4), of which there may be 20. What
// does not fit is as good as the greatest number.
func parseSize(s string) (int64, bool) {
	if s == "" || len(s) > 20 {
		return 0, false
	}
	for i := range len(s) {
		if s[i] < '0' || s[i] > '9' {
			return 0, false
		}
	}
	n, err := strconv.ParseInt(s, 10, 64)
	if err != nil {
		n = math.MaxInt64
	}
	return n, true
}
