package resolve

import (
	"context"
	"net"
	"strings"
)

// A Server is a name server that answers for others.
type Server struct {
	Addr string // host:port
	TCP  bool   // never by UDP
}

// ParseServers reads the variable SmartDNSHost: HOST:udp or HOST:tcp with commas
// between them, HOST perhaps with a port of its own (HOST:PORT:udp). Without a
// protocol it is udp. Items that are none of this are left out.
func ParseServers(value string) []Server {
	var servers []Server
	for item := range strings.SplitSeq(value, ",") {
		item = strings.TrimSpace(item)
		host, udp := strings.CutSuffix(item, ":udp")
		host, tcp := strings.CutSuffix(host, ":tcp")
		if host == "" || udp && tcp {
			continue
		}
		if _, _, err := net.SplitHostPort(host); err != nil {
			host = net.JoinHostPort(strings.Trim(host, "[]"), "53")
		}
		servers = append(servers, Server{Addr: host, TCP: tcp})
	}
	return servers
}

// resolver returns a resolver that asks this server alone.
func (s Server) resolver() *net.Resolver {
	return &net.Resolver{
		PreferGo:     true,
		StrictErrors: true, // half an answer that looks like none is no answer
		Dial: func(ctx context.Context, network, _ string) (net.Conn, error) {
			if s.TCP {
				network = "tcp"
			}
			var d net.Dialer
			return d.DialContext(ctx, network, s.Addr)
		},
	}
}
