package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	_ "embed"
	"encoding/pem"
	"errors"
	"fmt"
	"math/big"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/nixmesh/nixmesh/bench/benchlab"
	"github.com/nixmesh/nixmesh/internal/testkit/labuser"
	"github.com/nixmesh/nixmesh/lab"
)

//go:embed caller.yaml
var callerConfig string

//go:embed callee.yaml
var calleeConfig string

// envoyUID is whom the called host lets reach its applications.
const envoyUID = 39999

// pair are the two Envoys with a configuration of their own.
type pair struct {
	dir     string
	running []*exec.Cmd
}

// startPair starts one Envoy on a and one on b, as the hosts' own are run.
func startPair(ctx context.Context, l *benchlab.Lab, port int) (p *pair, err error) {
	envoy, err := lab.Envoy(ctx, "", func(string) {})
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "nixmesh-hops-")
	if err != nil {
		return nil, err
	}
	p = &pair{dir: dir}
	defer func() {
		if err != nil {
			err = errors.Join(err, p.stop())
		}
	}()
	if err := errors.Join(os.Chmod(dir, 0o755), os.Chown(dir, envoyUID, -1), writeIdentities(dir)); err != nil {
		return nil, err
	}
	values := map[string]string{"dir": dir, "callee": l.Hosts["b"].Address, "port": strconv.Itoa(port)}
	for name, text := range map[string]string{"caller": callerConfig, "callee": calleeConfig} {
		file := filepath.Join(dir, name+".yaml")
		filled := os.Expand(text, func(name string) string { return values[name] })
		if err := os.WriteFile(file, []byte(filled), 0o644); err != nil {
			return nil, err
		}
		host := map[string]string{"caller": "a", "callee": "b"}[name]
		cmd, err := labuser.In(l.Hosts[host].PID, func() (*exec.Cmd, error) {
			// The configuration of the hosts' Envoys has so many threads, too.
			cmd := exec.Command(envoy, "-c", file, "--disable-hot-restart", "--concurrency", "1", "--log-level", "warn")
			cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: envoyUID, Gid: envoyUID}}
			cmd.Stderr = os.Stderr
			return cmd, cmd.Start()
		})
		if err != nil {
			return nil, fmt.Errorf("start the %s's Envoy: %w", name, err)
		}
		p.running = append(p.running, cmd)
	}
	return p, p.ready(l)
}

// ready waits until the path answers.
func (p *pair) ready(l *benchlab.Lab) error {
	front, err := l.User("a", "front")
	if err != nil {
		return err
	}
	probe := &way{client: front.Client(false), url: "http://127.0.0.1:15445/open/"}
	defer probe.client.CloseIdleConnections()
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		if err = probe.ask(); err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("the static Envoys do not answer: %w", err)
		}
	}
}

func (p *pair) pids() []int {
	var all []int
	for _, cmd := range p.running {
		all = append(all, cmd.Process.Pid)
	}
	return all
}

func (p *pair) stop() error {
	for _, cmd := range p.running {
		_ = cmd.Process.Kill() // it may be gone
		_ = cmd.Wait()         // killed
	}
	return os.RemoveAll(p.dir)
}

// writeIdentities makes a root, and certificates of front and single.
func writeIdentities(dir string) error {
	rootKey, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return err
	}
	now := time.Now()
	root := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench"}, NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, root, root, &rootKey.PublicKey, rootKey)
	if err != nil {
		return err
	}
	if err := writePEM(filepath.Join(dir, "root.pem"), "CERTIFICATE", der); err != nil {
		return err
	}
	for i, name := range []string{"front", "single"} {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			return err
		}
		leaf := &x509.Certificate{SerialNumber: big.NewInt(int64(i + 2)), NotBefore: root.NotBefore, NotAfter: root.NotAfter, KeyUsage: x509.KeyUsageDigitalSignature,
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth}, URIs: []*url.URL{{Scheme: "spiffe", Host: "bench", Path: "/svc/" + name}}}
		der, err := x509.CreateCertificate(rand.Reader, leaf, root, &key.PublicKey, rootKey)
		if err != nil {
			return err
		}
		private, err := x509.MarshalPKCS8PrivateKey(key)
		if err != nil {
			return err
		}
		if err := errors.Join(writePEM(filepath.Join(dir, name+".pem"), "CERTIFICATE", der), writePEM(filepath.Join(dir, name+".key"), "PRIVATE KEY", private)); err != nil {
			return err
		}
	}
	return nil
}

// writePEM lets Envoy's user read it: these keys are thrown away.
func writePEM(file, kind string, der []byte) error {
	return os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), 0o644)
}
