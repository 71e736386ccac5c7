package main

import (
	"context"
	"fmt"
	"os"

	"github.com/spf13/cobra"
	"go.etcd.io/etcd/server/v3/etcdmain"
	"k8s.io/component-base/cli"
	kubectl "k8s.io/kubectl/pkg/cmd"
	apiserver "k8s.io/kubernetes/cmd/kube-apiserver/app"
	controllermanager "k8s.io/kubernetes/cmd/kube-controller-manager/app"
	proxy "k8s.io/kubernetes/cmd/kube-proxy/app"
	scheduler "k8s.io/kubernetes/cmd/kube-scheduler/app"
	kubelet "k8s.io/kubernetes/cmd/kubelet/app"

	_ "k8s.io/component-base/logs/json/register"          // --logging-format=json
	_ "k8s.io/component-base/metrics/prometheus/clientgo" // the components' usual metrics
	_ "k8s.io/component-base/metrics/prometheus/version"
)

// self is this executable: the components run as children of it, by their own name.
const self = "/proc/self/exe"

// The upstream components in this executable, by command name.
var components = map[string]func() *cobra.Command{
	"kube-apiserver":          apiserver.NewAPIServerCommand,
	"kube-controller-manager": controllermanager.NewControllerManagerCommand,
	"kube-scheduler":          func() *cobra.Command { return scheduler.NewSchedulerCommand() },
	"kubelet":                 func() *cobra.Command { return kubelet.NewKubeletCommand(context.Background()) },
	"kube-proxy":              proxy.NewProxyCommand,
	"kubectl":                 kubectl.NewDefaultKubectlCommand,
}

// isTool tells whether a link of this name to the executable stands for a command of its own.
func isTool(name string) bool {
	return name == "kubectl" || name == "ctr" || name == "crictl"
}

func runTool(name string, args []string) error {
	os.Args = append([]string{name}, args...)
	if name == "etcd" {
		etcdmain.Main(os.Args)
		return nil
	}
	component, ok := components[name]
	if !ok {
		return fmt.Errorf("No help topic for '%s'", name) // k3s's words for an unknown command
	}
	if name == "kubectl" && os.Getenv("KUBECONFIG") == "" {
		if _, err := os.Stat(kubeconfig); err == nil {
			os.Setenv("KUBECONFIG", kubeconfig)
		}
	}
	os.Exit(cli.Run(component()))
	return nil
}
