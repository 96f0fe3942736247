package spec

import (
	"fmt"
	"strings"
)

func (d *decoder) operator(b *block) *Operator {
	d.required(b)
	o := &Operator{Name: b.label, Place: b.place()}
	o.SSH = d.loginKeys(b, "ssh")
	o.Sign = o.SSH
	if b.has("sign") {
		o.Sign = d.loginKeys(b, "sign")
	}
	o.NixKey = d.key(b, "nix_key", nixKeyError)
	o.Age = d.key(b, "age", ageError)
	o.CA = d.boolean(b, "ca")
	o.Access, _ = d.texts(b, "access")
	if o.CA && !b.meant("age") {
		d.add(problem{code: "NM0605", rng: b.attrs["ca"].key, block: b.title,
			detail: "The CA's root is an age file, which an SSH agent cannot open: it needs a recipient.",
			hint:   `add age = "age1…": age-keygen makes a key, age-keygen -y prints its recipient`})
	}
	return o
}

// loginKeys reads a list of public keys, which may not be empty (NM0602).
func (d *decoder) loginKeys(b *block, name string) []string {
	texts, entries := d.texts(b, name)
	var keys []string
	for i, it := range entries {
		if _, err := sshKey(texts[i], loginKeyTypes()...); err != nil {
			d.badKey(it, err)
			continue
		}
		keys = append(keys, strings.TrimSpace(texts[i]))
	}
	if d.emptyList(b, name) {
		d.add(problem{code: "NM0602", rng: b.attrs[name].expr.Range(), block: b.title, detail: fmt.Sprintf("%q holds no key.", name), hint: "paste the line of ~/.ssh/id_ed25519.pub"})
	}
	return keys
}

func (d *decoder) key(b *block, name string, wrong func(string) error) string {
	it, ok := d.item(b, name)
	if !ok {
		return ""
	}
	text, ok := d.asText(it)
	if !ok {
		return ""
	}
	if err := wrong(text); err != nil {
		d.badKey(it, err)
		return ""
	}
	return text
}

func (d *decoder) badKey(it item, err error) {
	if isPrivateKey(it.value.AsString()) {
		d.privateKey(it)
		return
	}
	hints := map[string]string{
		"ssh":     "paste the line of ~/.ssh/id_ed25519.pub",
		"sign":    "paste the line of ~/.ssh/id_ed25519.pub",
		"nix_key": "nix key convert-secret-to-public < nix.key prints it",
		"age":     "age-keygen -y FILE prints it",
	}
	text := err.Error()
	d.add(problem{code: "NM0602", rng: it.rng, block: it.a.title, detail: strings.ToUpper(text[:1]) + text[1:] + ".", hint: hints[it.a.name]})
}

// checkOperators holds the rules over all operators (NM0601, NM0602).
func (d *decoder) checkOperators(f *Fleet, top, fleet *block) {
	blocks := top.all("operator")
	written := false
	owner := map[string]*block{}
	for i, o := range f.Operators {
		b := blocks[i]
		written = written || b.has("nix_key")
		for _, key := range operatorKeys(o) {
			first := owner[key.text]
			if first == nil {
				owner[key.text] = b
			} else if first != b {
				rng := b.header
				if a := b.attrs[key.name]; a != nil {
					rng = a.expr.Range()
				}
				d.add(problem{code: "NM0602", rng: rng, block: b.title,
					detail: fmt.Sprintf("This key is also operator %q's, at %s.", first.label, at(first.header)), hint: "every operator has keys of their own"})
			}
		}
	}
	if written {
		return
	}
	p := problem{code: "NM0601", rng: fleet.header, block: fleet.title, detail: "There is no operator.",
		hint: `add operator "NAME" { … } with ssh = ["ssh-ed25519 …"] and nix_key = "NAME-1:BASE64"`}
	if len(blocks) > 0 {
		name := blocks[0].label
		p.rng, p.block, p.detail = blocks[0].header, blocks[0].title, "No operator has a nix_key, so nobody can deploy."
		p.hint = fmt.Sprintf("add nix_key = \"%s-1:BASE64\" to operator %q: nix key generate-secret --key-name %s-1 > nix.key, then nix key convert-secret-to-public < nix.key", name, name, name)
	}
	d.add(p)
}

// ownedKey is a key by which an operator is told from others.
type ownedKey struct{ name, text string }

// operatorKeys are the keys of one operator, each once, without comments.
func operatorKeys(o *Operator) []ownedKey {
	var keys []ownedKey
	seen := map[string]bool{}
	add := func(name, text string) {
		if text != "" && !seen[text] {
			seen[text] = true
			keys = append(keys, ownedKey{name, text})
		}
	}
	for _, line := range o.SSH {
		key, _ := sshKey(line, loginKeyTypes()...)
		add("ssh", key)
	}
	for _, line := range o.Sign {
		key, _ := sshKey(line, loginKeyTypes()...)
		add("sign", key)
	}
	add("nix_key", o.NixKey)
	add("age", o.Age)
	return keys
}
