// Package balancer gives an agent one local address for all servers of its cluster.
package balancer

import (
	"encoding/json"
	"io"
	"log"
	"net"
	"os"
	"slices"
	"sync"
	"time"

	"seedbed/lab/k3s/internal/pki"
)

const dialTimeout = time.Second

// Balancer passes connections to the first server that answers. It keeps the list of servers in a file, so
// that an agent finds the others after a restart when the one that it joined by is gone.
type Balancer struct {
	file string

	mu      sync.Mutex
	servers []string // host:port, the one to try first in front
}

// New starts from the stored list where there is one, else from `first`. A `first` that is not in the
// stored list is tried too: it is what the operator configured last.
func New(file, first string) *Balancer {
	b := &Balancer{file: file, servers: []string{first}}
	if data, err := os.ReadFile(file); err == nil {
		var stored []string
		if err := json.Unmarshal(data, &stored); err != nil {
			log.Printf("level=warning msg=\"%s is ignored: %v\"", file, err)
		}
		b.servers = append(slices.DeleteFunc(stored, func(s string) bool { return s == first }), first)
	}
	return b
}

// Set replaces the list; the server in use stays in front while it is a member.
func (b *Balancer) Set(servers []string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	next := slices.Clone(servers)
	slices.Sort(next)
	if len(b.servers) > 0 {
		if i := slices.Index(next, b.servers[0]); i > 0 {
			next = slices.Insert(slices.Delete(next, i, i+1), 0, b.servers[0])
		}
	}
	if slices.Equal(next, b.servers) {
		return nil
	}
	b.servers = next
	data, err := json.Marshal(next)
	if err != nil {
		return err
	}
	return pki.WriteFile(b.file, data, 0o600)
}

// Serve accepts until the listener is closed.
func (b *Balancer) Serve(listener net.Listener) error {
	for {
		conn, err := listener.Accept()
		if err != nil {
			return err
		}
		go b.pass(conn)
	}
}

func (b *Balancer) pass(client net.Conn) {
	defer client.Close()
	b.mu.Lock()
	servers := slices.Clone(b.servers)
	b.mu.Unlock()
	// Keep-alives find a server whose power was cut: no RST comes from it.
	dialer := net.Dialer{Timeout: dialTimeout, KeepAliveConfig: net.KeepAliveConfig{
		Enable: true, Idle: 5 * time.Second, Interval: 2 * time.Second, Count: 3,
	}}
	for _, server := range servers {
		upstream, err := dialer.Dial("tcp", server)
		if err != nil {
			b.demote(server)
			continue
		}
		defer upstream.Close()
		go func() {
			io.Copy(upstream, client)
			upstream.Close()
		}()
		io.Copy(client, upstream)
		return
	}
}

// demote puts a server that did not answer at the end.
func (b *Balancer) demote(server string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if len(b.servers) > 1 && b.servers[0] == server {
		b.servers = append(b.servers[1:], server)
	}
}
