package remote

import (
	"context"
	"fmt"
	"io"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// agentSigner signs by a connection of its own to the agent each time, so
// that a key outlives the connection that listed it and needs no closing.
type agentSigner struct {
	socket string
	public ssh.PublicKey
}

var _ ssh.MultiAlgorithmSigner = (*agentSigner)(nil)

func (s *agentSigner) PublicKey() ssh.PublicKey { return s.public }

func (s *agentSigner) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	return s.SignWithAlgorithm(nil, data, "")
}

// Algorithms keeps RSA away from SHA-1.
func (s *agentSigner) Algorithms() []string {
	if s.public.Type() == ssh.KeyAlgoRSA {
		return []string{ssh.KeyAlgoRSASHA256, ssh.KeyAlgoRSASHA512}
	}
	return []string{s.public.Type()}
}

func (s *agentSigner) SignWithAlgorithm(_ io.Reader, data []byte, algorithm string) (*ssh.Signature, error) {
	conn, err := dialAgent(context.Background(), s.socket, AuthTimeout)
	if err != nil {
		return nil, fmt.Errorf("reach SSH agent: %w", err)
	}
	defer conn.Close()
	var flags agent.SignatureFlags
	switch algorithm {
	case ssh.KeyAlgoRSASHA256:
		flags = agent.SignatureFlagRsaSha256
	case ssh.KeyAlgoRSASHA512:
		flags = agent.SignatureFlagRsaSha512
	}
	sig, err := agent.NewClient(conn).SignWithFlags(s.public, data, flags)
	if err != nil {
		return nil, fmt.Errorf("sign with the SSH agent's key %s: %w", ssh.FingerprintSHA256(s.public), err)
	}
	return sig, nil
}
