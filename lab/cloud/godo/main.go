// The program godo calls, by DigitalOcean's own client for Go, everything that the lab's cloud has, and compares what
// the client makes of the answers with what it must. It prints a line per call, and fails if one of them is not ok.
//
// From the environment: DIGITALOCEAN_API_URL and DIGITALOCEAN_TOKEN; DIGITALOCEAN_READ_ONLY_TOKEN, a token that may
// change nothing. It needs an account without droplets, and removes what it makes, if all goes well.
package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/digitalocean/godo"
	"golang.org/x/oauth2"
)

const (
	region = "fra1"
	size   = "s-2vcpu-4gb"
	image  = "debian-12-x64"
)

// A cloud is what the sections share.
type cloud struct {
	*godo.Client
	*report
	ctx      context.Context
	url      string
	token    string
	readOnly string

	key  *godo.Key
	tag  string
	vpc  *godo.VPC
	web  *godo.Droplet // has the tag and the key
	bare *godo.Droplet // has neither
}

func main() {
	failed, err := run(os.Stdout, os.Getenv)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	if err != nil || failed > 0 {
		os.Exit(1)
	}
}

// run gives back how many calls failed.
func run(out io.Writer, env func(string) string) (int, error) {
	c := &cloud{
		report:   &report{out: out},
		ctx:      context.Background(),
		url:      env("DIGITALOCEAN_API_URL"),
		token:    env("DIGITALOCEAN_TOKEN"),
		readOnly: env("DIGITALOCEAN_READ_ONLY_TOKEN"),
		tag:      "godo-web",
	}
	if c.url == "" || c.token == "" || c.readOnly == "" {
		return 0, fmt.Errorf("set DIGITALOCEAN_API_URL, DIGITALOCEAN_TOKEN and DIGITALOCEAN_READ_ONLY_TOKEN")
	}
	var err error
	if c.Client, err = client(c.url, c.token); err != nil {
		return 0, err
	}
	c.section("account", c.account)
	c.section("catalogue", c.catalogue)
	c.section("limits", c.limits)
	c.section("all that needs droplets", func() {
		c.keys()
		c.tags()
		c.vpcs()
		c.droplets()
		for _, part := range []struct {
			name string
			body func()
		}{
			{"droplet actions", c.dropletActions},
			{"volumes", c.volumes},
			{"firewalls", c.firewalls},
			{"load balancers", c.loadBalancers},
			{"reserved IPs", c.reservedIPs},
			{"projects", c.projects},
		} {
			c.section(part.name, part.body)
		}
		c.removeDroplets()
		c.removeVPCs()
		c.removeTags()
		c.removeKeys()
	})
	c.section("domains", c.domains)
	c.section("spaces keys", c.spacesKeys)
	c.section("pages", c.pages)
	c.section("errors", c.errors)
	fmt.Fprintf(out, "%d calls, %d failed\n", c.calls, c.failed)
	return c.failed, nil
}

// client has no retries: a fault must be seen.
func client(url, token string) (*godo.Client, error) {
	source := oauth2.StaticTokenSource(&oauth2.Token{AccessToken: token})
	return godo.New(oauth2.NewClient(context.Background(), source), godo.SetBaseURL(url))
}
