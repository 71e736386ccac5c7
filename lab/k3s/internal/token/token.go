// Package token reads and writes k3s join tokens.
//
// Short form: the password alone. Full form: K10<CA hash>::<user>:<password>, which lets the joining node
// check whom it talks to. Source: docs.k3s.io/cli/token, k3s-io/k3s pkg/clientaccess/token.go.
package token

import (
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"regexp"
	"strings"
)

// Users that a token can speak for.
const (
	UserServer = "server"
	UserNode   = "node"
)

// Token is a parsed join token; CAHash is empty in the short form.
type Token struct {
	CAHash   string
	User     string
	Password string
}

var bootstrap = regexp.MustCompile(`^[a-z0-9]{6}\.[a-z0-9]{16}$`)

// Parse reads a token; the short form speaks for `user`.
func Parse(s, user string) (Token, error) {
	if s == "" {
		return Token{}, errors.New("token must not be empty")
	}
	rest, full := strings.CutPrefix(s, "K10")
	if !full {
		if bootstrap.MatchString(s) {
			return Token{}, errors.New("bootstrap tokens are not part of the lab stand-in")
		}
		return Token{User: user, Password: s}, nil
	}
	hash, credentials, ok := strings.Cut(rest, "::")
	if !ok || len(hash) != hex.EncodedLen(sha256.Size) {
		return Token{}, errors.New("invalid token format: expected K10<sha256 of the cluster CA>::<user>:<password>")
	}
	name, password, ok := strings.Cut(credentials, ":")
	if !ok || password == "" || (name != UserServer && name != UserNode) {
		return Token{}, errors.New("invalid token format: expected server:<password> or node:<password> after the CA hash")
	}
	return Token{CAHash: hash, User: name, Password: password}, nil
}

// Format writes the full form for the cluster whose CA bundle is given.
func Format(caPEM []byte, user, password string) (string, error) {
	hash, err := CAHash(caPEM)
	if err != nil {
		return "", err
	}
	return "K10" + hash + "::" + user + ":" + password, nil
}

// CAHash is what the full form holds: of a single certificate the sha256 of the PEM file's bytes, of a
// bundle the sha256 of the DER of the root that the first certificate chains to.
func CAHash(caPEM []byte) (string, error) {
	var certs []*x509.Certificate
	for rest := caPEM; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		cert, err := x509.ParseCertificate(block.Bytes)
		if err != nil {
			return "", fmt.Errorf("cluster CA: %w", err)
		}
		certs = append(certs, cert)
	}
	switch len(certs) {
	case 0:
		return "", errors.New("cluster CA: no certificate in the file")
	case 1:
		sum := sha256.Sum256(caPEM)
		return hex.EncodeToString(sum[:]), nil
	}
	roots, intermediates := x509.NewCertPool(), x509.NewCertPool()
	for _, cert := range certs {
		if len(cert.AuthorityKeyId) == 0 || string(cert.AuthorityKeyId) == string(cert.SubjectKeyId) {
			roots.AddCert(cert)
		} else {
			intermediates.AddCert(cert)
		}
	}
	chains, err := certs[0].Verify(x509.VerifyOptions{
		Roots: roots, Intermediates: intermediates, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageAny},
	})
	if err != nil {
		return "", fmt.Errorf("cluster CA: %w", err)
	}
	sum := sha256.Sum256(chains[0][len(chains[0])-1].Raw)
	return hex.EncodeToString(sum[:]), nil
}

// Verify refuses a CA that is not the one in the token; the short form trusts any.
func (t Token) Verify(caPEM []byte) error {
	if t.CAHash == "" {
		return nil
	}
	hash, err := CAHash(caPEM)
	if err != nil {
		return err
	}
	if hash != t.CAHash {
		return fmt.Errorf("token CA hash does not match the Cluster CA certificate hash: %s != %s", t.CAHash, hash)
	}
	return nil
}
