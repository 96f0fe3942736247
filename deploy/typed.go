package deploy

import "regexp"

// command is a nixmesh command in a text that acts on a fleet. Those of the lab
// itself, and those that have their flags first, are typed as they are; and
// "nixmesh" is also a word.
var command = regexp.MustCompile(`\bnixmesh (build|ca|deploy|exec|host|lock|mesh|plan|release|rollback|secret|show|status|update|validate)\b`)

// Typed is an advice as it has to be typed: without --lab, a command that is
// meant for the lab would act on the real hosts.
func Typed(lab bool, advice string) string {
	if !lab {
		return advice
	}
	return command.ReplaceAllString(advice, "nixmesh --lab $1")
}

func typedAll(lab bool, next []Next) {
	for i := range next {
		next[i].Command = Typed(lab, next[i].Command)
	}
}
