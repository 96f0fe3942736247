package spec

// ssh decodes how hosts are reached; what is left out is the base's.
func (d *decoder) ssh(b *block, base SSH) SSH {
	s := SSH{
		User: d.matching(b, "user", base.User, `^[a-z_][a-z0-9_-]{0,30}$`, "a user's name", `user = "deploy"`),
		Port: base.Port,
		Key:  base.Key,
		Jump: d.matching(b, "jump", base.Jump, `^[A-Za-z0-9_.-]+@(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9.-]+):[1-9][0-9]{0,4}$`, "user@host:port", `jump = "anna@bastion.example:22"`),
	}
	if b.has("port") {
		s.Port = d.whole(b, "port")
	}
	if b.has("key") {
		s.Key = d.text(b, "key")
	}
	return s
}
