package main

import (
	"context"
	"log"
	"os"
	"os/exec"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
)

const rulesInterval = 10 * time.Second

// preparePodNetwork turns forwarding on and keeps the rules that flannel keeps in k3s, under flannel's chain
// names (flannel-io/flannel pkg/trafficmngr/iptables): pods reach the outside by the node's address, and
// forwarded pod traffic is accepted although Docker's policy for FORWARD is DROP.
func preparePodNetwork(ctx context.Context, clusterCIDR string) {
	if err := os.WriteFile("/proc/sys/net/ipv4/ip_forward", []byte("1"), 0o644); err != nil {
		log.Printf("level=error msg=\"ip_forward: %v\"", err)
	}
	rules := [][]string{
		{"filter", "FLANNEL-FWD", "-s", clusterCIDR, "-j", "ACCEPT"},
		{"filter", "FLANNEL-FWD", "-d", clusterCIDR, "-j", "ACCEPT"},
		{"filter", "FORWARD", "-m", "comment", "--comment", "flanneld forward", "-j", "FLANNEL-FWD"},
		{"nat", "FLANNEL-POSTRTG", "-s", clusterCIDR, "!", "-d", clusterCIDR, "-j", "MASQUERADE"},
		{"nat", "POSTROUTING", "-m", "comment", "--comment", "flanneld masq", "-j", "FLANNEL-POSTRTG"},
	}
	ensure := func() {
		for _, rule := range rules {
			table, chain := rule[0], rule[1]
			if iptables(table, append([]string{"-C", chain}, rule[2:]...)) == nil {
				continue
			}
			if strings.HasPrefix(chain, "FLANNEL-") {
				iptables(table, []string{"-N", chain}) // fails where the chain exists
			}
			if err := iptables(table, append([]string{"-A", chain}, rule[2:]...)); err != nil {
				log.Printf("level=error msg=\"iptables %s: %v\"", strings.Join(rule, " "), err)
			}
		}
	}
	ensure()
	go until(ctx, rulesInterval, func() bool { ensure(); return false })
}

func iptables(table string, args []string) error {
	return exec.Command("iptables", append([]string{"-w", "10", "-t", table}, args...)...).Run()
}

// routePods sends each other node's pod network to that node's address, like flannel's backend host-gw: the
// lab's hosts share one bridge. It gives the function to call with the nodes.
func routePods(self string) func([]corev1.Node) {
	routes := map[string]string{}
	return func(nodes []corev1.Node) {
		wanted := map[string]string{}
		for _, item := range nodes {
			if ip := internalIP(item); item.Name != self && ip != "" && item.Spec.PodCIDR != "" {
				wanted[item.Spec.PodCIDR] = ip
			}
		}
		for cidr := range routes {
			if wanted[cidr] == "" {
				exec.Command("ip", "route", "del", cidr).Run() // it may be gone with its link
				delete(routes, cidr)
			}
		}
		for cidr, ip := range wanted {
			if routes[cidr] == ip {
				continue
			}
			if out, err := exec.Command("ip", "route", "replace", cidr, "via", ip).CombinedOutput(); err != nil {
				log.Printf("level=error msg=\"route to %s via %s: %s\"", cidr, ip, strings.TrimSpace(string(out)))
				continue
			}
			routes[cidr] = ip
		}
	}
}
