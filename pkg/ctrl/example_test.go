package ctrl_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"strings"
	"time"

	"github.com/xmaild/xmaild/pkg/ctrl"
)

// serve starts a server of two commands and returns its address, and a function that stops it.
func serve() (address string, stop func()) {
	domains := []string{"example.org", "example.net"}
	server := &ctrl.Server{
		Handler: ctrl.HandlerFunc(func(ctx context.Context, req *ctrl.Request) ctrl.Reply {
			switch req.Command {
			case "domainlist":
				return ctrl.List(func(w *ctrl.ListWriter) error {
					for _, d := range domains {
						if err := w.Row(d); err != nil {
							return err
						}
					}
					return nil
				})
			case "cfgfileset":
				if len(req.Args) != 1 {
					return ctrl.Refuse(ctrl.CodeCommand, "want one path").ForUpload()
				}
				return ctrl.Upload(1<<20, func(ctx context.Context, content []byte) ctrl.Reply {
					fmt.Printf("%s: %q\n", req.Args[0], content)
					return ctrl.OK()
				})
			}
			return ctrl.Refuse(ctrl.CodeCommand, "unknown command %s", req.Command)
		}),
		Authenticator: ctrl.AuthenticatorFunc(func(ctx context.Context, login ctrl.Login) error {
			if login.User != "admin" || !login.Verify("secret") {
				return ctrl.ErrLogin
			}
			return nil
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(context.Background(), l) }()
	return l.Addr().String(), func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := server.Shutdown(ctx); err != nil {
			log.Print(err)
		}
		if err := <-done; err != ctrl.ErrServerClosed {
			log.Print(err)
		}
	}
}

func ExampleServer() {
	server := &ctrl.Server{
		Handler: ctrl.HandlerFunc(func(ctx context.Context, req *ctrl.Request) ctrl.Reply {
			if req.Command == "hello" {
				return ctrl.OKf("hello %s, %s", req.Session.User, strings.Join(req.Args, " and "))
			}
			return ctrl.Refuse(ctrl.CodeCommand, "unknown command %s", req.Command)
		}),
		Authenticator: ctrl.AuthenticatorFunc(func(ctx context.Context, login ctrl.Login) error {
			if login.User != "admin" || !login.Verify("secret") {
				return ctrl.ErrLogin
			}
			return nil
		}),
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		log.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- server.Serve(context.Background(), l) }()

	client, err := ctrl.Dial(context.Background(), l.Addr().String(), "admin", "secret")
	if err != nil {
		log.Fatal(err)
	}
	reply, err := client.Do(context.Background(), "hello", "goodbye", "thank you")
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(reply.Status, reply.Text)
	client.Quit()

	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	fmt.Println("stopped:", server.Shutdown(ctx), <-done)
	// Output:
	// +00000 OK hello admin, goodbye and thank you
	// stopped: <nil> ctrl: server closed
}

func ExampleClient() {
	address, stop := serve()
	defer stop()
	ctx := context.Background()

	client, err := ctrl.Dial(ctx, address, "admin", "secret")
	if err != nil {
		log.Fatal(err)
	}
	defer client.Quit()

	reply, err := client.Do(ctx, "domainlist")
	if err != nil {
		log.Fatal(err)
	}
	for row, err := range reply.Rows() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(row[0])
	}

	err = client.Upload(ctx, strings.NewReader("one\n.two\n"), "cfgfileset", "new.tab")
	fmt.Println(err)

	_, err = client.Do(ctx, "domaindel", "example.com")
	var refusal *ctrl.Error
	if errors.As(err, &refusal) && refusal.Code == ctrl.CodeCommand {
		fmt.Println(refusal)
	}
	// Output:
	// example.org
	// example.net
	// new.tab: "one\n.two\n"
	// <nil>
	// -00103 unknown command domaindel
}

func ExampleDialer() {
	address, stop := serve()
	defer stop()

	dialer := ctrl.Dialer{User: "admin", Password: "wrong", Timeout: 10 * time.Second}
	_, err := dialer.Dial(context.Background(), address)
	var refused *ctrl.LoginError
	fmt.Println(errors.As(err, &refused), err)
	// Output:
	// true cannot log in: -00105 login refused
}

func ExampleEncodeLine() {
	line, err := ctrl.EncodeLine("useradd", "example.org", "bob", `pass"word\`, "U")
	fmt.Println(strings.ReplaceAll(line, "\t", "⇥"), err)
	_, err = ctrl.EncodeLine("useradd", "example.org", "bob", "pass\tword", "U")
	fmt.Println(err)
	// Output:
	// "useradd"⇥"example.org"⇥"bob"⇥pass"word\⇥"U" <nil>
	// argument 3 has a TAB in it
}
