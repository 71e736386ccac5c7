// probe is what tests run in a container: an HTTP server and client, a DNS lookup and a memory eater.
package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strconv"
	"strings"
	"time"
)

const (
	usage   = "usage: probe hello | serve [ADDRESS] | get URL | dns NAME | eat MIB | sleep"
	timeout = 5 * time.Second
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	if len(args) == 0 {
		args = []string{"hello"}
	}
	argument := func(otherwise string) string {
		if len(args) > 1 {
			return args[1]
		}
		return otherwise
	}
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	switch args[0] {
	case "hello":
		_, err := fmt.Fprintln(out, greeting())
		return err
	case "serve":
		address := argument(":8080")
		fmt.Fprintln(out, "serving", address)
		return http.ListenAndServe(address, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			fmt.Fprintln(w, greeting(), "to", r.RemoteAddr)
		}))
	case "get":
		return get(ctx, argument(""), out)
	case "dns":
		addresses, err := net.DefaultResolver.LookupHost(ctx, argument(""))
		if err != nil {
			return err
		}
		_, err = fmt.Fprintln(out, strings.Join(addresses, " "))
		return err
	case "eat":
		mib, err := strconv.Atoi(argument("16"))
		if err != nil {
			return err
		}
		kept := make([]byte, mib<<20)
		for i := range kept { // touched, or it takes no memory
			kept[i] = 1
		}
		fmt.Fprintln(out, "ate", len(kept)>>20, "MiB")
		select {}
	case "sleep":
		select {}
	}
	return fmt.Errorf("unknown command %q; %s", args[0], usage)
}

func greeting() string {
	host, err := os.Hostname()
	if err != nil {
		host = "somewhere"
	}
	return "hello from " + host
}

func get(ctx context.Context, url string, out io.Writer) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if _, err := io.Copy(out, response.Body); err != nil {
		return err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return fmt.Errorf("%s: %s", url, response.Status)
	}
	return nil
}
