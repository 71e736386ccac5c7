package supervise

import (
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for range 500 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal(what)
}

func TestAChildThatExitsIsStartedAgainAndStopEndsIt(t *testing.T) {
	file := filepath.Join(t.TempDir(), "starts")
	var c Children
	c.Start("child", nil, "/bin/sh", "-c", "echo x >> "+file+"; test $(wc -l < "+file+") -lt 2 || exec sleep 60")
	eventually(t, "the child was not started again", func() bool {
		data, _ := os.ReadFile(file)
		return strings.Count(string(data), "x") == 2
	})
	c.Stop(time.Minute, "") // returns only when the child is gone
	if data, _ := os.ReadFile(file); strings.Count(string(data), "x") != 2 {
		t.Error("the child was started after Stop")
	}
}

func TestOnlyLinesWorthKeepingReachTheLog(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr := os.Stderr
	os.Stderr = w
	defer func() { os.Stderr = stderr }()
	forward(strings.NewReader("I noise\nE wrong\nlast"), func(line []byte) bool { return line[0] != 'I' })
	w.Close()
	if got, _ := io.ReadAll(r); string(got) != "E wrong\nlast" {
		t.Errorf("%q", got)
	}
}

func TestAChildThatIgnoresTheSignalIsKilled(t *testing.T) {
	file := filepath.Join(t.TempDir(), "up")
	var c Children
	c.Start("stubborn", func([]byte) bool { return true }, "/bin/sh", "-c", "trap '' TERM; touch "+file+"; while :; do sleep 1; done")
	eventually(t, "the child did not start", func() bool { _, err := os.Stat(file); return err == nil })
	c.Stop(10*time.Millisecond, "")
}

func TestTheStoreIsStoppedAfterThoseThatWriteToIt(t *testing.T) {
	dir := t.TempDir()
	log := filepath.Join(dir, "log")
	var c Children
	for name, delay := range map[string]string{"etcd": "0", "kube-apiserver": "0.2"} {
		up := filepath.Join(dir, name)
		script := "trap 'sleep " + delay + "; echo " + name + " >> " + log + "; exit' TERM; touch " + up + "; while :; do sleep 0.01; done"
		c.Start(name, nil, "/bin/sh", "-c", script)
		eventually(t, name+" did not start", func() bool { _, err := os.Stat(up); return err == nil })
	}
	c.Stop(time.Minute, "etcd")
	if data, _ := os.ReadFile(log); string(data) != "kube-apiserver\netcd\n" {
		t.Errorf("%q", data)
	}
}

func TestReadyGoesToTheSocketAndChildrenDoNotSeeIt(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	t.Setenv("NOTIFY_SOCKET", path)
	n := NewNotifier()
	if os.Getenv("NOTIFY_SOCKET") != "" {
		t.Error("the socket is still in the environment")
	}
	if err := n.Ready(); err != nil {
		t.Fatal(err)
	}
	buf := make([]byte, 64)
	if got, err := l.Read(buf); err != nil || string(buf[:got]) != "READY=1" {
		t.Errorf("%q, %v", buf[:got], err)
	}
}
