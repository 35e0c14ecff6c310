package access

import (
	"net/netip"
	"strconv"
	"strings"
)

// A DNSList is a list of addresses that the DNS has (RFC 5782), one of the
// variable CustMapsList.
type DNSList struct {
	Root string // with a dot at its end
	Code int    // what happens to a client that stands in it
}

// ParseDNSLists reads the variable CustMapsList: ROOT.:CODE with commas between
// them. Items that are none of this are left out.
func ParseDNSLists(value string) []DNSList {
	var lists []DNSList
	for item := range strings.SplitSeq(value, ",") {
		root, code, ok := strings.Cut(strings.TrimSpace(item), ":")
		n, err := strconv.Atoi(strings.TrimSpace(code))
		root = strings.TrimSuffix(strings.TrimSpace(root), ".")
		if !ok || err != nil || root == "" {
			continue
		}
		lists = append(lists, DNSList{Root: root + ".", Code: n})
	}
	return lists
}

// A ListAnswer is what a list of the DNS says of an address.
type ListAnswer struct {
	DNSList
	Listed bool   // it has the address, and that counts
	Wrong  string // why the list does not count, for administrators; empty: it does
}

// Names are what the DNS says of the names of an address.
type Names struct {
	PTR       []string // the names of the address, sorted
	Confirmed []string // those of them that lead back to it, sorted
	Absent    bool     // it certainly has none
}

// Name returns the name under which an address stands in the list: its bytes, of
// IPv6 its half bytes, from the last to the first, before the root.
func (l DNSList) Name(ip netip.Addr) string {
	ip = ip.Unmap()
	bytes := ip.AsSlice()
	var b strings.Builder
	for i := len(bytes) - 1; i >= 0; i-- {
		if ip.Is4() {
			b.WriteString(strconv.Itoa(int(bytes[i])))
			b.WriteByte('.')
			continue
		}
		const digits = "0123456789abcdef"
		b.Write([]byte{digits[bytes[i]&15], '.', digits[bytes[i]>>4], '.'})
	}
	return b.String() + l.Root
}

// Canary is an address that no list has (RFC 5782 5). One that does answers for
// everything.
func Canary() netip.Addr { return netip.AddrFrom4([4]byte{127, 0, 0, 1}) }

// Listed reads the answer to the question for [DNSList.Name]. Only an address in
// 127.0.0.0/8 says that the client stands in the list: any other is that of a
// server which answers for names that there are not, or of a domain for sale. One
// in 127.255.255.0/24 says that the list does not answer this server.
func Listed(answer []netip.Addr) (listed, refused bool) {
	for _, ip := range answer {
		b := ip.Unmap()
		if !b.Is4() || b.As4()[0] != 127 {
			continue
		}
		if b.As4()[1] == 255 && b.As4()[2] == 255 {
			refused = true
		} else {
			listed = true
		}
	}
	return listed, refused
}
