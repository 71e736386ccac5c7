package joinapi

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"time"

	"seedbed/lab/k3s/internal/pki"
	"seedbed/lab/k3s/internal/token"
)

// ErrRefused is an answer that will not change by asking again.
var ErrRefused = errors.New("the server refused")

const (
	firstWait = 100 * time.Millisecond
	longWait  = 2 * time.Second
)

// Client joins a cluster by one of its servers.
type Client struct {
	server  string
	token   token.Token
	http    *http.Client
	headers map[string]string
	CA      []byte // the cluster's server CA bundle, checked against the token
}

// Node is who joins; the password is the node's own.
type Node struct{ Name, IP, Password string }

// Connect waits for the server at `server` (https://host:port) and checks its CA against the token.
func Connect(ctx context.Context, server string, tok token.Token, node Node) (*Client, error) {
	c := &Client{
		server: strings.TrimSuffix(server, "/"), token: tok,
		headers: map[string]string{headerNode: node.Name, headerAddress: node.IP, headerSecret: node.Password},
	}
	// The CA is not known yet: this one call trusts whom it reaches, and the token's hash proves the answer.
	c.http = &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, DisableKeepAlives: true,
	}}
	err := retry(ctx, "failed to get CA certs", func() (err error) {
		c.CA, err = c.do(ctx, http.MethodGet, "/cacerts", nil)
		return err
	})
	if err != nil {
		return nil, err
	}
	if err := tok.Verify(c.CA); err != nil {
		return nil, err
	}
	if tok.CAHash == "" {
		log.Print("level=warning msg=\"Cluster CA certificate is not trusted by the host CA bundle, but the token does not include a CA hash. " +
			"Use the full token from the server's node-token file to enable Cluster CA validation.\"")
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(c.CA) {
		return nil, errors.New("the server's /cacerts holds no certificate")
	}
	c.http = &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}}}
	return c, nil
}

// retry goes on until it works, the context ends or the server refuses.
func retry(ctx context.Context, what string, f func() error) error {
	for wait := firstWait; ; wait = min(2*wait, longWait) {
		err := f()
		if err == nil || errors.Is(err, ErrRefused) {
			return err
		}
		log.Printf("level=error msg=\"%s: %v\"", what, err)
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s: %w", what, err)
		case <-time.After(wait):
		}
	}
}

func (c *Client) do(ctx context.Context, method, path string, body []byte) ([]byte, error) {
	request, err := http.NewRequestWithContext(ctx, method, c.server+path, bytes.NewReader(body))
	if err != nil {
		return nil, errors.Join(ErrRefused, err)
	}
	if path != "/cacerts" { // passwords go only to a server that has proved itself
		request.SetBasicAuth(c.token.User, c.token.Password)
		for name, value := range c.headers {
			request.Header.Set(name, value)
		}
	}
	response, err := c.http.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return nil, err
	}
	switch {
	case response.StatusCode == http.StatusOK:
		return answer, nil
	case response.StatusCode >= 400 && response.StatusCode < 500:
		return nil, fmt.Errorf("%w: %s %s: %s: %s", ErrRefused, method, path, response.Status, bytes.TrimSpace(answer))
	}
	return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, bytes.TrimSpace(answer))
}

func (c *Client) call(ctx context.Context, method, name string, body []byte) (answer []byte, err error) {
	err = retry(ctx, name, func() error {
		answer, err = c.do(ctx, method, prefix+name, body)
		return err
	})
	return answer, err
}

// Settings asks for what the cluster has in common.
func (c *Client) Settings(ctx context.Context) (Settings, error) {
	var s Settings
	answer, err := c.call(ctx, http.MethodGet, "config", nil)
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(answer, &s)
}

// Certificate makes a key and has it signed; kind is client-kubelet, client-kube-proxy or serving-kubelet.
// The pair is written to base.key and base.crt.
func (c *Client) Certificate(ctx context.Context, kind, base string) error {
	key, keyPEM, err := pki.NewKey()
	if err != nil {
		return err
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		return err
	}
	request := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})
	cert, err := c.call(ctx, http.MethodPost, kind+".crt", request)
	if err != nil {
		return err
	}
	if err := pki.WriteFile(base+".key", keyPEM, 0o600); err != nil {
		return err
	}
	return pki.WriteFile(base+".crt", cert, 0o644)
}

// Bootstrap gives the cluster's authorities and service key, by path under server/tls. Servers only.
func (c *Client) Bootstrap(ctx context.Context) (map[string][]byte, error) {
	answer, err := c.call(ctx, http.MethodGet, "server-bootstrap", nil)
	if err != nil {
		return nil, err
	}
	files := map[string][]byte{}
	return files, json.Unmarshal(answer, &files)
}

// JoinEtcd makes this node a learner of the cluster's etcd and gives its --initial-cluster. Servers only.
func (c *Client) JoinEtcd(ctx context.Context, peerURL string) (string, error) {
	answer, err := c.call(ctx, http.MethodPost, "etcd-join", []byte(peerURL))
	return string(answer), err
}
