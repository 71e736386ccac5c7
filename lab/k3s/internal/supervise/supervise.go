// Package supervise runs the stand-in's child processes and talks to systemd.
package supervise

import (
	"bufio"
	"io"
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

// Start keeps a process running under a name. `keep` decides which lines of its output go to the log. With
// nil the child writes to the log itself, which it must where its own children outlive this process: a shim
// of containerd would die of a pipe that nobody reads.
func (c *Children) Start(name string, keep func(line []byte) bool, program string, args ...string) {
	c.done.Go(func() {
		for {
			cmd, output, err := c.launch(name, keep != nil, program, args)
			if err == nil && cmd == nil {
				return
			}
			if err == nil {
				forward(output, keep)
				err = cmd.Wait()
			}
			if c.forget(name) {
				return
			}
			log.Printf("level=error msg=\"%s exited: %v\"", name, err)
			time.Sleep(restartDelay)
		}
	})
}

// launch gives no command once Stop was called.
func (c *Children) launch(name string, pipe bool, program string, args []string) (cmd *exec.Cmd, output io.Reader, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.stopping {
		return nil, nil, nil
	}
	cmd = exec.Command(program, args...)
	cmd.Stderr = os.Stderr
	if pipe {
		cmd.Stderr = nil
		if output, err = cmd.StderrPipe(); err != nil {
			return nil, nil, err
		}
	}
	cmd.Stdout = cmd.Stderr
	// A killed supervisor takes its children along; systemd's KillMode=process would leave them.
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, nil, err
	}
	if c.running == nil {
		c.running = map[string]*os.Process{}
	}
	c.running[name] = cmd.Process
	return cmd, output, nil
}

// forward copies the lines to keep until the child has closed its side.
func forward(output io.Reader, keep func([]byte) bool) {
	if output == nil {
		return
	}
	lines := bufio.NewReaderSize(output, 64<<10)
	for {
		line, err := lines.ReadSlice('\n') // a longer line comes in pieces
		if len(line) > 0 && keep(line) {
			os.Stderr.Write(line)
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (c *Children) forget(name string) (stopping bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.running, name)
	return c.stopping
}

// Stop ends all children, those that do not go within `grace` by force, and the one named `last` after the
// others: what the others still write goes there. It returns when all are gone.
func (c *Children) Stop(grace time.Duration, last string) {
	c.end(grace, func(name string) bool { return name != last })
	c.end(grace, func(name string) bool { return name == last })
	c.done.Wait()
}

func (c *Children) end(grace time.Duration, which func(name string) bool) {
	c.signal(syscall.SIGTERM, which)
	for deadline := time.Now().Add(grace); c.signal(0, which) > 0; time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			c.signal(syscall.SIGKILL, which)
			return
		}
	}
}

// signal gives the number of children that it was sent to; signal 0 only counts.
func (c *Children) signal(s syscall.Signal, which func(name string) bool) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopping = true
	count := 0
	for name, process := range c.running {
		if which(name) {
			count++
			process.Signal(s)
		}
	}
	return count
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
