// Package supervise runs the stand-in's child processes and talks to systemd.
package supervise

import (
	"errors"
	"log"
	"net"
	"os"
	"os/exec"
	"sync"
	"syscall"
	"time"
)

const restartDelay = time.Second

// Children restarts what exits, until Stop.
type Children struct {
	mu       sync.Mutex
	running  map[string]*os.Process
	stopping bool
	done     sync.WaitGroup
}

// Start keeps a process running under a name.
func (c *Children) Start(name, program string, args ...string) {
	c.done.Go(func() {
		for {
			process, err := c.launch(name, program, args)
			if err == nil {
				if process == nil {
					return
				}
				var state *os.ProcessState
				if state, err = process.Wait(); err == nil {
					err = errors.New(state.String())
				}
			}
			if c.forget(name) {
				return
			}
			log.Printf("level=error msg=\"%s exited: %v\"", name, err)
			time.Sleep(restartDelay)
		}
	})
}

// launch gives no process once Stop was called.
func (c *Children) launch(name, program string, args []string) (*os.Process, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil
	}
	cmd := exec.Command(program, args...)
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	// A killed supervisor takes its children along; systemd's KillMode=process would leave them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	if c.running == nil {
		c.running = map[string]*os.Process{}
	}
	c.running[name] = cmd.Process
	return cmd.Process, nil
}

func (c *Children) forget(name string) (stopping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, name)
	return c.stopping
}

// Stop ends all children, by force after the grace period.
func (c *Children) Stop(grace time.Duration) {
	c.signal(syscall.SIGTERM)
	force := time.AfterFunc(grace, func() { c.signal(syscall.SIGKILL) })
	defer force.Stop()
	c.done.Wait()
}

func (c *Children) signal(s syscall.Signal) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	for _, process := range c.running {
		process.Signal(s)
	}
}

// Notifier tells systemd that a Type=notify unit is ready.
type Notifier struct{ socket string }

// NewNotifier takes the socket out of the environment: etcd and containerd would say READY=1 themselves.
func NewNotifier() Notifier {
	socket := os.Getenv("NOTIFY_SOCKET")
	os.Unsetenv("NOTIFY_SOCKET")
	return Notifier{socket}
}

// Ready says so; without systemd it does nothing.
func (n Notifier) Ready() error {
	if n.socket == "" {
		return nil
	}
	conn, err := net.Dial("unixgram", n.socket)
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = conn.Write([]byte("READY=1"))
	return err
}
