// Package pki makes the certificates of a cluster, under certificate authorities that may have been placed
// by the operator before the first start.
package pki

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Lifetimes as in k3s: docs.k3s.io/cli/certificate.
const (
	caYears   = 10
	leafYears = 1
)

// Authorities are the CA pairs of a server by their path under server/tls, with the name that a generated
// one gets. Source: docs.k3s.io/cli/certificate#using-custom-ca-certificates.
var Authorities = map[string]string{
	"server-ca": "k3s-server-ca", "client-ca": "k3s-client-ca", "request-header-ca": "k3s-request-header-ca",
	"etcd/server-ca": "etcd-server-ca", "etcd/peer-ca": "etcd-peer-ca",
}

// ServiceKey is the file under server/tls that signs service account tokens.
const ServiceKey = "service.key"

// SharedFiles are what a joining server takes over from the first one, relative to server/tls.
func SharedFiles() []string {
	files := []string{ServiceKey}
	for base := range Authorities {
		files = append(files, base+".crt", base+".key")
	}
	slices.Sort(files)
	return files
}

// Subject is whom a certificate is for: names and addresses go into the SANs.
type Subject struct {
	CommonName   string
	Organization string
	SANs         []string
}

// CA can sign.
type CA struct {
	cert *x509.Certificate
	key  crypto.Signer
}

// WriteFile writes a file in one step, so that no reader sees half of it.
func WriteFile(path string, data []byte, mode os.FileMode) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	if err := os.WriteFile(path+".new", data, mode); err != nil {
		return err
	}
	if err := os.Chmod(path+".new", mode); err != nil { // a leftover .new keeps its old mode
		return err
	}
	return os.Rename(path+".new", path)
}

// ParseKey reads a private key in any of the forms in which operators place them: PKCS #8, SEC 1 or PKCS #1.
func ParseKey(data []byte) (crypto.Signer, error) {
	for rest := data; ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			return nil, errors.New("no private key in the file (expected PEM)")
		}
		switch block.Type {
		case "EC PRIVATE KEY":
			return x509.ParseECPrivateKey(block.Bytes)
		case "RSA PRIVATE KEY":
			return x509.ParsePKCS1PrivateKey(block.Bytes)
		case "PRIVATE KEY":
			key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
			if err != nil {
				return nil, err
			}
			signer, ok := key.(crypto.Signer)
			if !ok {
				return nil, fmt.Errorf("a %T cannot sign", key)
			}
			return signer, nil
		}
	}
}

// NewKey makes an ECDSA P-256 key, also as SEC 1 PEM.
func NewKey() (*ecdsa.PrivateKey, []byte, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	der, err := x509.MarshalECPrivateKey(key)
	if err != nil {
		return nil, nil, err
	}
	return key, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: der}), nil
}

func exists(path string) (bool, error) {
	_, err := os.Stat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// EnsureCA makes the pair base.crt and base.key unless both are there already, and tells whether it did.
// One of the two alone is an error: to complete it would silently make another authority.
func EnsureCA(base, commonName string) (made bool, err error) {
	hasCert, err := exists(base + ".crt")
	if err != nil {
		return false, err
	}
	hasKey, err := exists(base + ".key")
	if err != nil {
		return false, err
	}
	if hasCert != hasKey {
		return false, fmt.Errorf("%s: only one of .crt and .key is there; place both or neither", base)
	}
	if hasCert {
		_, err := LoadCA(base)
		return false, err
	}
	key, keyPEM, err := NewKey()
	if err != nil {
		return false, err
	}
	serial, err := newSerial()
	if err != nil {
		return false, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: fmt.Sprintf("%s@%d", commonName, now.Unix())},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(caYears, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return false, err
	}
	if err := WriteFile(base+".key", keyPEM, 0o600); err != nil {
		return false, err
	}
	return true, WriteFile(base+".crt", encodeCert(der), 0o644)
}

// EnsureServiceKey makes the service account key unless it is there already.
func EnsureServiceKey(path string) error {
	data, err := os.ReadFile(path)
	if err == nil {
		if _, err := ParseKey(data); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		return nil
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	_, keyPEM, err := NewKey()
	if err != nil {
		return err
	}
	return WriteFile(path, keyPEM, 0o600)
}

// LoadCA reads base.crt and base.key. In a bundle the first certificate is the one that signs.
func LoadCA(base string) (*CA, error) {
	certPEM, err := os.ReadFile(base + ".crt")
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(certPEM)
	if block == nil {
		return nil, fmt.Errorf("%s.crt: no certificate in the file (expected PEM)", base)
	}
	cert, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil, fmt.Errorf("%s.crt: %w", base, err)
	}
	if !cert.IsCA {
		return nil, fmt.Errorf("%s.crt: %q is not a certificate authority", base, cert.Subject.CommonName)
	}
	keyPEM, err := os.ReadFile(base + ".key")
	if err != nil {
		return nil, err
	}
	key, err := ParseKey(keyPEM)
	if err != nil {
		return nil, fmt.Errorf("%s.key: %w", base, err)
	}
	public, ok := key.Public().(interface{ Equal(crypto.PublicKey) bool })
	if !ok || !public.Equal(cert.PublicKey) {
		return nil, fmt.Errorf("%s.key does not belong to %s.crt", base, base)
	}
	return &CA{cert: cert, key: key}, nil
}

// Sign issues a certificate (PEM) that is good for both ends of a connection.
func (ca *CA) Sign(public crypto.PublicKey, subject Subject) ([]byte, error) {
	serial, err := newSerial()
	if err != nil {
		return nil, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: subject.CommonName},
		NotBefore: now.Add(-time.Hour), NotAfter: now.AddDate(leafYears, 0, 0),
		KeyUsage:    x509.KeyUsageDigitalSignature | x509.KeyUsageKeyEncipherment,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	if subject.Organization != "" {
		template.Subject.Organization = []string{subject.Organization}
	}
	for _, san := range subject.SANs {
		if ip := net.ParseIP(san); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else if san != "" && !slices.Contains(template.DNSNames, san) {
			template.DNSNames = append(template.DNSNames, san)
		}
	}
	der, err := x509.CreateCertificate(rand.Reader, template, ca.cert, public, ca.key)
	if err != nil {
		return nil, err
	}
	return encodeCert(der), nil
}

// Issue makes a new key and certificate at base.key and base.crt.
func (ca *CA) Issue(base string, subject Subject) error {
	key, keyPEM, err := NewKey()
	if err != nil {
		return err
	}
	cert, err := ca.Sign(key.Public(), subject)
	if err != nil {
		return err
	}
	if err := WriteFile(base+".key", keyPEM, 0o600); err != nil {
		return err
	}
	return WriteFile(base+".crt", cert, 0o644)
}

// Pool reads a bundle of certificates to trust.
func Pool(path string) (*x509.CertPool, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(data) {
		return nil, fmt.Errorf("%s: no certificate in the file", path)
	}
	return pool, nil
}

// ClientTLS is the configuration of a client that trusts caFile and, where base is given, shows base.crt.
func ClientTLS(caFile, base string) (*tls.Config, error) {
	pool, err := Pool(caFile)
	if err != nil {
		return nil, err
	}
	conf := &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	if base != "" {
		pair, err := tls.LoadX509KeyPair(base+".crt", base+".key")
		if err != nil {
			return nil, err
		}
		conf.Certificates = []tls.Certificate{pair}
	}
	return conf, nil
}

func newSerial() (*big.Int, error) {
	return rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 126))
}

func encodeCert(der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}
