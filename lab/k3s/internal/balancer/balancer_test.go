package balancer

import (
	"io"
	"net"
	"path/filepath"
	"testing"
)

// greeter answers every connection with its text until the test ends or it is closed.
func greeter(t *testing.T, text string) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			io.WriteString(c, text)
			c.Close()
		}
	}()
	return l
}

func serve(t *testing.T, b *Balancer) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go b.Serve(l)
	return l.Addr().String()
}

func ask(t *testing.T, address string) string {
	t.Helper()
	c, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	data, _ := io.ReadAll(c)
	return string(data)
}

func TestADeadServerIsPassedOverForTheNext(t *testing.T) {
	one, two := greeter(t, "one"), greeter(t, "two")
	b := New(filepath.Join(t.TempDir(), "servers.json"), one.Addr().String())
	if err := b.Set([]string{one.Addr().String(), two.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	local := serve(t, b)
	if got := ask(t, local); got != "one" {
		t.Errorf("the server in use did not stay in front: %q", got)
	}
	one.Close()
	if got := ask(t, local); got != "two" {
		t.Errorf("after the first server died: %q", got)
	}
	if b.servers[0] != two.Addr().String() {
		t.Error("the dead server is still tried first")
	}
}

func TestTheListSurvivesARestartWithoutTheFirstServer(t *testing.T) {
	one, two := greeter(t, "one"), greeter(t, "two")
	file := filepath.Join(t.TempDir(), "servers.json")
	if err := New(file, one.Addr().String()).Set([]string{one.Addr().String(), two.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	one.Close()
	if got := ask(t, serve(t, New(file, one.Addr().String()))); got != "two" {
		t.Errorf("got %q", got)
	}
}

func TestWithNoServerAliveTheConnectionEnds(t *testing.T) {
	dead := greeter(t, "")
	dead.Close()
	if got := ask(t, serve(t, New(filepath.Join(t.TempDir(), "s.json"), dead.Addr().String()))); got != "" {
		t.Errorf("got %q", got)
	}
}
