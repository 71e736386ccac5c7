// k3s is the lab's stand-in for the k3s release: upstream Kubernetes and etcd behind the part of k3s's
// command line, files and ports that seedbed uses. What it leaves out is listed in README.md.
package main

import (
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"k8s.io/klog/v2"

	"seedbed/lab/k3s/internal/config"
	"seedbed/lab/k3s/internal/settings"
	"seedbed/lab/k3s/internal/supervise"
)

// version is set by the linker; nodes report the same as their kubelet's version.
var version = "v1.34.2+k3s1"

// stopGrace is short: an API server would wait a minute for its watchers to leave, and holds nothing itself.
const stopGrace = 2 * time.Second

const (
	nature     = "seedbed lab stand-in"
	kubeconfig = "/etc/rancher/k3s/k3s.yaml"
)

func main() {
	log.SetFlags(0)
	log.SetOutput(stamp{os.Stderr})
	name, args := filepath.Base(os.Args[0]), os.Args[1:]
	if !isTool(name) { // not a link named kubectl or ctr: the command is the first argument
		if len(args) == 0 {
			usage(os.Stdout)
			return
		}
		name, args = args[0], args[1:]
	}
	if err := run(name, args); err != nil {
		log.Printf("level=fatal msg=%q", err.Error())
		os.Exit(1)
	}
}

func usage(out io.Writer) {
	fmt.Fprintf(out, "k3s %s (%s)\n\nusage: k3s server|agent|kubectl|ctr|crictl|etcd-snapshot [flags]\n", version, nature)
}

func run(name string, args []string) error {
	switch name {
	case "--version", "-v", "version":
		fmt.Printf("k3s version %s (%s)\ngo version %s\n", version, nature, runtime.Version())
	case "--help", "-h", "help":
		usage(os.Stdout)
	case "server":
		return runNode(config.Server, args)
	case "agent":
		return runNode(config.Agent, args)
	case "etcd-snapshot":
		return etcdSnapshot(args)
	case "ctr":
		return replace("ctr", append([]string{"-a", settings.Socket, "-n", "k8s.io"}, args...))
	case "crictl":
		return replace("crictl", append([]string{"-r", "unix://" + settings.Socket}, args...))
	default:
		return runTool(name, args)
	}
	return nil
}

// replace goes on as another program.
func replace(program string, args []string) error {
	path, err := exec.LookPath(program)
	if err != nil {
		return err
	}
	return syscall.Exec(path, append([]string{program}, args...), os.Environ())
}

// runNode is a server or an agent until a signal ends it.
func runNode(command config.Command, args []string) error {
	quietLibraries()
	ready := supervise.NewNotifier()
	conf, err := config.Load(command, args, os.Getenv)
	if err != nil {
		return err
	}
	n, err := newNode(conf, command == config.Server)
	if err != nil {
		return err
	}
	log.Printf("level=info msg=\"Starting k3s %s (%s)\"", version, nature)
	for _, name := range conf.Inert() {
		log.Printf("level=warning msg=\"--%s has no effect in the %s\"", name, nature)
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	failed := make(chan error, 1)
	go func() {
		if err := n.start(ctx); err != nil {
			failed <- err
			return
		}
		log.Print("level=info msg=\"k3s is up and running\"")
		if err := ready.Ready(); err != nil {
			failed <- err
		}
	}()
	select {
	case <-ctx.Done():
		err = nil
	case err = <-failed:
	case err = <-n.broken:
	}
	n.children.Stop(stopGrace, "etcd")
	return err
}

// quietLibraries drops what etcd's client and client-go say of each attempt to connect; the components, which
// are commands of their own, set their logging up themselves.
func quietLibraries() {
	klog.LogToStderr(false)
	klog.SetOutput(io.Discard)
}

// stamp writes lines as k3s does: time="…" level=… msg="…".
type stamp struct{ out io.Writer }

func (s stamp) Write(line []byte) (int, error) {
	if _, err := fmt.Fprintf(s.out, "time=%q %s", time.Now().Format(time.RFC3339), line); err != nil {
		return 0, err
	}
	return len(line), nil
}
