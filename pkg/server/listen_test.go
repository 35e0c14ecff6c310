package server

import (
	"log/slog"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"
	"testing"
)

func bind(t *testing.T, b binder, e Endpoint) ([]netip.AddrPort, error) {
	t.Helper()
	b.log = slog.New(slog.DiscardHandler)
	ls, err := b.bind(t.Context(), "control port", e)
	var addrs []netip.AddrPort
	for _, l := range ls {
		addrs = append(addrs, l.Addr().(*net.TCPAddr).AddrPort())
		t.Cleanup(func() { l.Close() })
	}
	return addrs, err
}

func TestLevelsBindTheirDefaults(t *testing.T) {
	got, err := bind(t, binder{loopback: true}, Endpoint{})
	if err != nil || len(got) == 0 {
		t.Fatalf("loopback: %v, %v", got, err)
	}
	for _, a := range got {
		if !a.Addr().IsLoopback() || a.Port() != got[0].Port() {
			t.Errorf("bound %v, want loopback addresses with one port", got)
		}
	}
	got, err = bind(t, binder{}, Endpoint{})
	if err != nil || len(got) != 1 || got[0].Addr() != netip.IPv4Unspecified() {
		t.Errorf("level 0: bound %v, %v, want every IPv4 address", got, err)
	}
	got, err = bind(t, binder{loopback: true}, Endpoint{IPv6: true})
	if err != nil || len(got) != 1 || got[0].Addr() != netip.IPv6Unspecified() {
		t.Errorf("IPv6: bound %v, %v, want every IPv6 address", got, err)
	}
	if got, err := bind(t, binder{loopback: true}, Endpoint{Off: true}); err != nil || got != nil {
		t.Errorf("switched off: bound %v, %v", got, err)
	}
}

func TestAddressesDecideAtEveryLevel(t *testing.T) {
	for _, loopback := range []bool{true, false} {
		got, err := bind(t, binder{loopback: loopback}, Endpoint{Addrs: []string{"127.0.0.1:0", "localhost:0"}})
		if err != nil || len(got) != 2 || got[0].Addr().String() != "127.0.0.1" || !got[1].Addr().IsLoopback() {
			t.Errorf("loopback %v: bound %v, %v, want the two addresses", loopback, got, err)
		}
	}
}

func TestWildcardsAreOfTheirFamily(t *testing.T) {
	for addr, want := range map[string]netip.Addr{"0.0.0.0:0": netip.IPv4Unspecified(), "[::]:0": netip.IPv6Unspecified()} {
		got, err := bind(t, binder{}, Endpoint{Addrs: []string{addr}})
		if err != nil || len(got) != 1 || got[0].Addr() != want {
			t.Errorf("%s: bound %v, %v, want %v", addr, got, err, want)
		}
	}
}

func TestAddressInUseIsNamed(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	addr := taken.Addr().String()
	got, err := bind(t, binder{}, Endpoint{Addrs: []string{"127.0.0.1:0", addr}})
	if want := "control port: address " + addr + " is in use by another program"; err == nil || err.Error() != want {
		t.Errorf("error %v, want %q", err, want)
	}
	if got != nil {
		t.Errorf("%v are left open, want none", got)
	}
}

func TestForeignAddressIsNamed(t *testing.T) {
	// 192.0.2.0/24 is for documentation and no machine's own.
	_, err := bind(t, binder{}, Endpoint{Addrs: []string{"192.0.2.1:0"}})
	if err == nil || !strings.Contains(err.Error(), "192.0.2.1:0 is none of this machine's") {
		t.Errorf("error %v, want the address named", err)
	}
}

func TestWhoMayNotBindIsToldWhatIsNeeded(t *testing.T) {
	err := plain(&net.OpError{Op: "listen", Net: "tcp4", Addr: &net.TCPAddr{IP: net.IPv4zero, Port: 25}, Err: os.NewSyscallError("bind", syscall.EACCES)})
	for _, want := range []string{"0.0.0.0:25", "root", "CAP_NET_BIND_SERVICE", "another port"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q does not say %q", err, want)
		}
	}
}
