package ca

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"sync"
	"time"

	"github.com/nixmesh/nixmesh/trust"
)

// IssuerOptions are what an issuer works with. All are needed.
type IssuerOptions struct {
	Host   string // this host
	Store  Store
	Log    IssueLog
	Clock  Clock
	Logger *slog.Logger
}

// Issuer is the authority's side on one host. Every host may have one: it
// refuses while the configuration does not name its host as an authority, or
// while the host has no intermediate. It has no goroutine.
type Issuer struct {
	IssuerOptions

	mu        sync.Mutex // guards what follows
	fleet     *Fleet     // nil before Configure
	authority *trust.Authority
	pending   *trust.AuthorityRequest
	nonces    *nonces
	nodes     *trust.NodeBook
	limiter   limiter
	issued    int
	refused   map[Code]int
	aside     []string
}

// Files of the issuer.
const (
	fileAuthority = "authority.v1"         // intermediate and key
	filePending   = "authority-request.v1" // key of a request
	fileNodes     = "nodes.v1"             // newest node certificate of each host that asked
)

// NewIssuer makes an issuer that knows no fleet yet.
func NewIssuer(o IssuerOptions) (*Issuer, error) {
	i := &Issuer{IssuerOptions: o, nodes: &trust.NodeBook{}, refused: map[Code]int{}}
	var err error
	if i.nonces, err = newNonces(); err != nil {
		return nil, err
	}
	i.read(fileNodes, func(content []byte) error {
		book, err := trust.ParseNodeBook(content)
		if err == nil {
			i.nodes = book
		}
		return err
	})
	i.read(filePending, func(content []byte) error {
		r, err := trust.ParseAuthorityRequest(content, o.Host)
		if err == nil {
			i.pending = &r
		}
		return err
	})
	return i, nil
}

// read reads a file if there is one. What cannot be understood is set aside; a
// file that cannot be opened now may be a good one, and stays.
func (i *Issuer) read(name string, parse func(content []byte) error) {
	content, err := i.Store.Load(name)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		if err = parse(content); err == nil {
			return
		}
		i.aside = append(i.aside, name+aside)
		err = errors.Join(err, i.Store.SetAside(name))
	}
	i.Logger.Error("certificate file not read", "file", name, "err", err)
}

// Configure gives the issuer the fleet that acts from now on.
func (i *Issuer) Configure(f *Fleet) {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.fleet = f
	if i.authority != nil && i.authority.Domain != f.Roots.Domain {
		i.authority = nil
	}
	if i.authority == nil {
		i.read(fileAuthority, func(content []byte) error {
			a, err := trust.ParseAuthority(content, i.Host, f.Roots.Domain)
			if errors.Is(err, trust.ErrIdentity) {
				i.Logger.Warn("intermediate is of another trust domain", "err", err)
				return nil // an operator began a new CA; the next intermediate takes its place
			}
			if err == nil {
				i.authority = &a
			}
			return err
		})
	}
	has := func(host string) bool { return f.Config.Hosts[host] != nil }
	i.nodes.Keep(has)
	i.limiter.keep(has)
}

// Request is the request for this host's next intermediate. The key is kept, so
// asking again gives a request of the same key until Install was successful.
func (i *Issuer) Request() ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.pending == nil {
		r, err := trust.NewAuthorityRequest(i.Host)
		if err != nil {
			return nil, err
		}
		secret, err := r.Secret()
		if err != nil {
			return nil, err
		}
		if err := i.Store.Save(filePending, secret); err != nil {
			return nil, fmt.Errorf("keep request for intermediate: %w", err)
		}
		i.pending = &r
	}
	return i.pending.PEM(), nil
}

// Install takes the intermediate that answers the request. Leaves are signed
// with it from now on, and the one before is forgotten.
func (i *Issuer) Install(intermediate []byte) error {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fleet == nil {
		return errors.New("install intermediate: there is no mesh configuration yet")
	}
	if i.pending == nil {
		return errors.New("install intermediate: this host asked for none")
	}
	a, err := i.pending.Accept(intermediate, i.fleet.Roots, i.Clock.Now())
	if err != nil {
		return err
	}
	secret, err := a.Secret()
	if err != nil {
		return err
	}
	if err := i.Store.Save(fileAuthority, secret); err != nil {
		return fmt.Errorf("install intermediate: %w", err)
	}
	i.authority, i.pending = &a, nil
	i.Logger.Info("intermediate installed", "issuer", a.String(), "until", a.Certificate.NotAfter)
	if err := i.Store.Remove(filePending); err != nil {
		i.Logger.Warn("answered request not removed", "err", err)
	}
	return nil
}

// Challenge is a nonce for one request of a host. A *Refusal is the error for a
// host that the fleet does not have.
func (i *Issuer) Challenge(host string) ([]byte, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.fleet == nil || i.fleet.Config.Hosts[host] == nil {
		i.refused[CodeHost]++
		return nil, refuse(CodeHost, "the configuration of %s has no host %.80q", i.Host, host)
	}
	return i.nonces.make(host, i.Clock.Now())
}

// IssuerStatus is what a person sees of an authority.
type IssuerStatus struct {
	Authority bool         // the configuration names this host
	Name      string       // "shop CA (db1)", "" without intermediate
	Life      trust.Life   // of the intermediate
	Level     trust.Level  // of the intermediate
	Requested bool         // an intermediate was asked for and has not come
	Issued    int          // since the agent's start
	Refused   map[Code]int // since the agent's start
	SetAside  []string     // files that could not be read
}

// Status is the issuer's state now.
func (i *Issuer) Status() IssuerStatus {
	i.mu.Lock()
	defer i.mu.Unlock()
	s := IssuerStatus{Authority: i.may(), Requested: i.pending != nil, Issued: i.issued, Refused: map[Code]int{}, SetAside: append([]string(nil), i.aside...)}
	for code, n := range i.refused {
		s.Refused[code] = n
	}
	if i.authority != nil {
		s.Name, s.Life = i.authority.String(), trust.LifeOf(i.authority.Certificate)
		s.Level = s.Life.CALevel(i.Clock.Now())
	} else if s.Authority {
		s.Level = trust.LevelExpired
	}
	return s
}

// now is the issuer's clock, without the reading that only this process knows.
func (i *Issuer) now() time.Time { return i.Clock.Now().Round(0).UTC() }
