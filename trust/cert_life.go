package trust

import (
	"crypto/x509"
	"fmt"
	"math/big"
	"time"
)

// Backdate is how far before its making a certificate begins at most, so that
// a peer whose clock is a little slow takes it.
const Backdate = 5 * time.Minute

// backdate is less for certificates that live for minutes.
func backdate(ttl time.Duration) time.Duration { return min(Backdate, ttl/10) }

// RefuseCA is when the end of a CA's certificate is so close that a deploy
// does not go on without being told to.
const RefuseCA = 14 * 24 * time.Hour

// Life is the time during which a certificate is valid, both ends included.
type Life struct {
	From, Until time.Time
}

// LifeOf is the life of a certificate.
func LifeOf(c *x509.Certificate) Life { return Life{c.NotBefore, c.NotAfter} }

// At is the moment at which a part of the life is over: 0.5 is half life.
func (l Life) At(part float64) time.Time {
	return l.From.Add(time.Duration(part * float64(l.Until.Sub(l.From))))
}

// Part is how much of the life is over: below 0 before it began, above 1 after
// its end. A life without length is over.
func (l Life) Part(now time.Time) float64 {
	if length := l.Until.Sub(l.From); length > 0 {
		return float64(now.Sub(l.From)) / float64(length)
	}
	return 2
}

// Contains says whether a moment is within the life.
func (l Life) Contains(now time.Time) bool { return !now.Before(l.From) && !now.After(l.Until) }

// Left is the time until the end, 0 after it.
func (l Life) Left(now time.Time) time.Duration { return max(0, l.Until.Sub(now)) }

// Level is how urgent a certificate's age is. The numbers are those of metrics.
type Level int

// Levels, the least urgent first.
const (
	LevelOK       Level = iota
	LevelWarn           // it should have been renewed by now
	LevelCritical       // little time is left: a person has to look
	LevelExpired        // nobody takes it any more, or not yet
)

var levelNames = [...]string{"ok", "warn", "critical", "expired"}

func (l Level) String() string {
	if l < 0 || int(l) >= len(levelNames) {
		return fmt.Sprintf("Level(%d)", int(l))
	}
	return levelNames[l]
}

// LeafLevel is the urgency of a leaf, which is renewed at 40 to 50 % of its
// life: warn at 66 %, critical at 90 %.
func (l Life) LeafLevel(now time.Time) Level {
	switch part := l.Part(now); {
	case !l.Contains(now):
		return LevelExpired
	case part >= 0.90:
		return LevelCritical
	case part >= 0.66:
		return LevelWarn
	default:
		return LevelOK
	}
}

// CALevel is the urgency of a root or an intermediate: warn from half life,
// critical from RefuseCA before the end.
func (l Life) CALevel(now time.Time) Level {
	switch {
	case !l.Contains(now):
		return LevelExpired
	case l.Left(now) < RefuseCA:
		return LevelCritical
	case l.Part(now) >= 0.5:
		return LevelWarn
	default:
		return LevelOK
	}
}

// RenewAt is when a leaf is to be renewed: a moment between 40 and 50 % of its
// life. The serial number chooses it, so a restart does not move it, and hosts
// that started together do not renew together.
func RenewAt(leaf *x509.Certificate) time.Time {
	const steps = 1 << 16
	at := new(big.Int).Mod(leaf.SerialNumber, big.NewInt(steps)).Int64()
	return LifeOf(leaf).At(0.40 + 0.10*float64(at)/steps)
}
