package spec

import (
	"fmt"
	"slices"
	"strings"
)

// piece is a Part with its place in the command's text.
type piece struct {
	Part
	from, to int
}

// commandError is what is wrong with a command, and where in its text.
type commandError struct {
	code     string
	from, to int
	detail   string
	hint     string
}

func (e *commandError) Error() string { return e.detail }

// maxCommand bounds a command, in bytes: systemd reads lines of 1 MiB, and several
// commands and their quotes go on one.
const maxCommand = 64 << 10

// splitter splits a command into words by the quoting rules of a shell, and
// refuses what only a shell could do.
type splitter struct {
	text    string
	at      int
	words   [][]piece
	word    []piece
	literal []byte // the text that is being read, in the command from from to to
	from    int
	to      int
	open    bool // a word has begun, maybe an empty one: ""
}

// splitCommand splits a command line. $NAME and ${NAME} become references,
// outside of single quotes; "$$" is a dollar.
func splitCommand(text string) ([][]piece, *commandError) {
	if len(text) > maxCommand {
		return nil, &commandError{"NM0304", 0, len(text), fmt.Sprintf("The command has %d bytes; %d are the most.", len(text), maxCommand), "put a script into the package"}
	}
	s := &splitter{text: text}
	for s.at < len(text) {
		if err := s.step(); err != nil {
			return nil, err
		}
	}
	s.endWord()
	if len(s.words) == 0 {
		return nil, &commandError{code: "NM0304", to: len(text), detail: "The command is empty.", hint: `for example exec = "bin/web"`}
	}
	return s.words, nil
}

func (s *splitter) step() *commandError {
	c := s.text[s.at]
	switch {
	case c == ' ' || c == '\t' || c == '\n' || c == '\r':
		s.at++
		s.endWord()
	case c == '\'':
		end := strings.IndexByte(s.text[s.at+1:], '\'')
		if end < 0 {
			return s.unclosed(s.at)
		}
		s.open = true
		s.add(s.text[s.at+1:s.at+1+end], s.at+1)
		s.at += end + 2
	case c == '"':
		return s.doubleQuoted()
	case c == '\\':
		if s.at+1 == len(s.text) {
			return s.refuse(s.at, 1, "A backslash ends the command.")
		}
		s.open = true
		s.add(s.text[s.at+1:s.at+2], s.at+1)
		s.at += 2
	case c == '$':
		s.open = true
		return s.dollar()
	case strings.IndexByte("|&;<>()`", c) >= 0:
		return s.operator(c)
	default:
		s.open = true
		s.add(s.text[s.at:s.at+1], s.at)
		s.at++
	}
	return nil
}

func (s *splitter) doubleQuoted() *commandError {
	start := s.at
	s.open = true
	for s.at++; s.at < len(s.text); {
		switch c := s.text[s.at]; {
		case c == '"':
			s.at++
			return nil
		case c == '\\' && s.at+1 < len(s.text) && strings.IndexByte("$\"\\`\n", s.text[s.at+1]) >= 0:
			s.add(s.text[s.at+1:s.at+2], s.at+1)
			s.at += 2
		case c == '`':
			return s.operator(c)
		case c == '$':
			if err := s.dollar(); err != nil {
				return err
			}
		default:
			s.add(s.text[s.at:s.at+1], s.at)
			s.at++
		}
	}
	return s.unclosed(start)
}

// dollar reads $NAME, ${NAME} or $$.
func (s *splitter) dollar() *commandError {
	rest := s.text[s.at+1:]
	switch {
	case strings.HasPrefix(rest, "$"):
		s.add("$", s.at)
		s.at += 2
		return nil
	case strings.HasPrefix(rest, "("):
		return s.refuse(s.at, 2, "$(…) would need a shell, and none is run.")
	case strings.HasPrefix(rest, "{"):
		name, _, closed := strings.Cut(rest[1:], "}")
		if !closed || !isVariable(name) {
			return s.refuse(s.at, 2, "${…} holds one name, without more.")
		}
		s.variable(name, len(name)+len("${}"))
		return nil
	}
	n := variableLength(rest)
	if n == 0 {
		return &commandError{"NM0304", s.at, s.at + 1, "A lone $ names nothing.", "write $$ for a dollar"}
	}
	s.variable(rest[:n], n+len("$"))
	return nil
}

// add appends text to the word.
func (s *splitter) add(text string, from int) {
	if len(s.literal) == 0 {
		s.from = from
	}
	s.literal, s.to = append(s.literal, text...), from+len(text)
}

// variable appends a reference of n bytes to the word.
func (s *splitter) variable(name string, n int) {
	s.endLiteral()
	s.word = append(s.word, piece{Part{Var: name}, s.at, s.at + n})
	s.at += n
}

func (s *splitter) endLiteral() {
	if len(s.literal) > 0 {
		s.word = append(s.word, piece{Part{Text: string(s.literal)}, s.from, s.to})
		s.literal = s.literal[:0]
	}
}

func (s *splitter) endWord() {
	s.endLiteral()
	if s.open {
		s.words = append(s.words, s.word)
	}
	s.word, s.open = nil, false
}

func (s *splitter) unclosed(from int) *commandError {
	return &commandError{"NM0304", from, from + 1, "This quote does not close.", "close it, or write \\" + s.text[from:from+1] + " for the character itself"}
}

func (s *splitter) refuse(from, n int, detail string) *commandError {
	return &commandError{"NM0304", from, min(from+n, len(s.text)), detail, "no shell is run: put a script into the package"}
}

func (s *splitter) operator(c byte) *commandError {
	n := 1
	for s.at+n < len(s.text) && s.text[s.at+n] == c {
		n++
	}
	return s.refuse(s.at, n, fmt.Sprintf("%q is shell syntax, and no shell is run.", s.text[s.at:s.at+n]))
}

// firstWord holds the rules for the program: a path, of the package or absolute.
func firstWord(word []piece) *commandError {
	if len(word) != 1 || word[0].Var != "" {
		to := 0
		if len(word) > 0 {
			to = word[len(word)-1].to
		}
		return &commandError{"NM0304", 0, to, "The first word is the program and holds no variables.", `for example "bin/web"`}
	}
	text := word[0].Text
	name, _, assigned := strings.Cut(text, "=")
	switch {
	case assigned && isVariable(name):
		return &commandError{"NM0304", word[0].from, word[0].to, "Setting a variable before the program is shell syntax, and no shell is run.",
			fmt.Sprintf("env = { %s = \"…\" }", name)}
	case slices.Contains(strings.Split(text, "/"), ".."):
		return &commandError{"NM0304", word[0].from, word[0].to, "The program's path leaves its package.", `for example "bin/web"`}
	case strings.HasPrefix(text, "-") || strings.HasPrefix(text, "@") || strings.HasPrefix(text, "+") || strings.HasPrefix(text, "!") || strings.HasPrefix(text, ":"):
		return &commandError{"NM0304", word[0].from, word[0].from + 1, "The prefix is systemd's and is not taken here.", `for example "bin/web"`}
	}
	return nil
}
