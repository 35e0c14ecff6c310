//go:build unix

package main

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// sendmailLoad sends mail by the program sendmail, which puts it into a folder that the
// server takes it from. Some of these programs are killed as well.
type sendmailLoad struct {
	sender *sender
	next   int
	queued []int // what sendmail has said is queued
	killed map[int]bool
}

func newSendmailLoad(t *testing.T) *sendmailLoad {
	t.Helper()
	return &sendmailLoad{sender: newSender(t).asNobody(), killed: map[int]bool{}}
}

const sendmailUser = "local@" + mailDomain

func (s *sendmailLoad) prepare(*testing.T, string) {}

func (s *sendmailLoad) begin(t *testing.T, l life) {
	t.Helper()
	addAccounts(t, l, sendmailUser)
}

func (s *sendmailLoad) clients(l life, random *rand.Rand, f *findings) []func() {
	body := strings.Repeat("line of a message\n", 200)
	return []func(){func() {
		for {
			select {
			case <-l.over:
				return
			case <-time.After(time.Duration(random.IntN(10)) * time.Millisecond):
			}
			s.next++
			cmd := s.sender.command(fmt.Sprintf("Subject: number %d\n\n%send %d\n", s.next, body, s.next), "-i", sendmailUser)
			if err := cmd.Start(); err != nil {
				f.add("sendmail: %v", err)
				return
			}
			if random.IntN(3) == 0 {
				<-time.After(time.Duration(random.IntN(15)) * time.Millisecond)
				_ = cmd.Process.Kill() // unless it has ended
			}
			switch err := cmd.Wait(); {
			case err == nil:
				s.queued = append(s.queued, s.next)
			case cmd.ProcessState.ExitCode() == -1:
				s.killed[s.next] = true
			default:
				f.add("sendmail: %v", err)
				return
			}
		}
	}}
}

func (s *sendmailLoad) died(files, *findings) {}

// check waits on the last life until all of it has been taken.
func (s *sendmailLoad) check(l life, f *findings) {
	for deadline := time.Now().Add(patience); l.last; {
		left, err := filepath.Glob(filepath.Join(s.sender.drop, "*.msg"))
		if err != nil {
			f.add("%v", err)
		}
		if len(left) == 0 {
			return
		}
		if time.Now().After(deadline) {
			f.add("%d files are still in the drop folder", len(left))
			return
		}
		<-time.After(10 * time.Millisecond)
	}
}

func (s *sendmailLoad) finish(disk files, f *findings) (int, string) {
	there := mailbox(disk, sendmailUser, f, nil)
	for _, n := range s.queued {
		if there[n] == 0 {
			f.add("message %d, which sendmail had queued, has not arrived", n)
		}
	}
	for n := range there {
		if n < 1 || n > s.next {
			f.add("message %d has arrived, and was not sent", n)
		}
	}
	return len(s.queued), fmt.Sprintf("messages by sendmail (%d killed)", len(s.killed))
}
