package hostfacts

// tailSize is how much of an output is kept, in bytes: more than an answer
// quotes, so that its end can be told from the whole.
const tailSize = 2 * snippetSize

// tail keeps the end of what is written to it.
type tail struct{ b []byte }

// Write never fails.
func (t *tail) Write(p []byte) (int, error) {
	n := len(p)
	if len(p) > tailSize {
		p = p[len(p)-tailSize:]
	}
	t.b = append(t.b, p...)
	if drop := len(t.b) - tailSize; drop > 0 {
		t.b = append(t.b[:0], t.b[drop:]...)
	}
	return n, nil
}
