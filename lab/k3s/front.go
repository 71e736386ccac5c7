package main

import (
	"crypto/tls"
	"io"
	"log"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"

	"seedbed/lab/k3s/internal/joinapi"
	"seedbed/lab/k3s/internal/pki"
)

// front is port 6443: the join API, and the API server for everything else.
type front struct {
	server *http.Server
}

// newFront passes requests on to the API server. A client certificate cannot be passed on; who it is for goes
// along in the headers of an authenticating proxy, which the API server trusts from this certificate only.
func (n *node) newFront(serverPassword, agentPassword string, passwords joinapi.Passwords) (*front, error) {
	certificate, err := tls.LoadX509KeyPair(n.tls+"/serving-kube-apiserver.crt", n.tls+"/serving-kube-apiserver.key")
	if err != nil {
		return nil, err
	}
	clients, err := pki.Pool(n.tls + "/client-ca.crt")
	if err != nil {
		return nil, err
	}
	named, err := n.proxy(n.tls + "/client-auth-proxy")
	if err != nil {
		return nil, err
	}
	plain, err := n.proxy("")
	if err != nil {
		return nil, err
	}
	join := &joinapi.Handler{
		TLSDir: n.tls, ServerPassword: serverPassword, AgentPassword: agentPassword, Settings: n.cluster, Etcd: etcdMembers{n},
		Passwords: passwords,
	}
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if joinapi.Handles(r.URL.Path) {
			join.ServeHTTP(w, r)
			return
		}
		for name := range r.Header {
			if strings.HasPrefix(name, "X-Remote-") {
				r.Header.Del(name)
			}
		}
		if len(r.TLS.VerifiedChains) == 0 {
			plain.ServeHTTP(w, r) // a bearer token, or nobody
			return
		}
		subject := r.TLS.PeerCertificates[0].Subject
		r.Header.Set("X-Remote-User", subject.CommonName)
		for _, group := range subject.Organization {
			r.Header.Add("X-Remote-Group", group)
		}
		named.ServeHTTP(w, r)
	})
	return &front{&http.Server{
		Addr: ":" + apiPort, Handler: handler, ErrorLog: log.New(io.Discard, "", 0), // handshakes that break off
		TLSConfig: &tls.Config{
			Certificates: []tls.Certificate{certificate}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: clients,
			MinVersion: tls.VersionTLS12,
		},
	}}, nil
}

func (f *front) ListenAndServe() error { return f.server.ListenAndServeTLS("", "") }

func (n *node) proxy(certBase string) (*httputil.ReverseProxy, error) {
	conf, err := pki.ClientTLS(n.tls+"/server-ca.crt", certBase)
	if err != nil {
		return nil, err
	}
	target, err := url.Parse(localAPI)
	if err != nil {
		return nil, err
	}
	p := httputil.NewSingleHostReverseProxy(target)
	p.FlushInterval = -1 // a watch's events at once
	p.Transport = &http.Transport{TLSClientConfig: conf, MaxIdleConnsPerHost: 100}
	p.ErrorLog = log.New(io.Discard, "", 0) // a client went away, or the API server is not up yet: 502 says so
	return p, nil
}
