package spec

// codeInfo is what a code always says.
type codeInfo struct {
	summary  string
	severity Severity
}

// codes is the table of all codes in use. A code is never given another meaning.
func codes() map[string]codeInfo {
	return map[string]codeInfo{
		"NM0001": {"Unreadable file", SeverityError},
		"NM0002": {"No fleet here", SeverityError},
		"NM0003": {"Not exactly one fleet block", SeverityError},
		"NM0004": {"Name defined twice", SeverityError},
		"NM0005": {"Bad path", SeverityError},
		"NM0007": {"Bad lab override", SeverityError},
		"NM0008": {"Another nixmesh is needed", SeverityError},
		"NM0101": {"Syntax error", SeverityError},
		"NM0102": {"Unknown argument", SeverityError},
		"NM0103": {"Unknown block", SeverityError},
		"NM0104": {"Missing argument", SeverityError},
		"NM0105": {"Wrong value", SeverityError},
		"NM0106": {"Bad name", SeverityError},
		"NM0107": {"Given twice", SeverityError},
		"NM0108": {"Reference instead of text", SeverityError},
		"NM0109": {"Not supported yet", SeverityError},
		"NM0201": {"Unknown reference", SeverityError},
		"NM0203": {"Cycle", SeverityError},
		"NM0205": {"Selector matches nothing", SeverityError},
		"NM0206": {"Unknown input", SeverityError},
		"NM0207": {"Function failed", SeverityError},
		"NM0208": {"Reserved name", SeverityError},
		"NM0209": {"Unknown listen", SeverityError},
		"NM0301": {"Package or unit", SeverityError},
		"NM0302": {"Package and exec belong together", SeverityError},
		"NM0303": {"Unknown variable in a command", SeverityError},
		"NM0304": {"Not a plain command", SeverityError},
		"NM0306": {"Port is taken", SeverityError},
		"NM0311": {"Service without check", SeverityWarning},
		"NM0312": {"Bad check", SeverityError},
		"NM0313": {"Bad variable name", SeverityError},
		"NM0316": {"Unknown protocol", SeverityError},
		"NM0317": {"Bad listen", SeverityError},
		"NM0318": {"User without unit", SeverityError},
		"NM0501": {"Bad address", SeverityError},
		"NM0502": {"Host in no wave", SeverityError},
		"NM0503": {"No usable host key", SeverityError},
		"NM0504": {"Bad config", SeverityError},
		"NM0505": {"Idle host", SeverityWarning},
		"NM0506": {"Rollout cannot work", SeverityError},
		"NM0507": {"No instance may restart", SeverityError},
		"NM0601": {"No operator can deploy", SeverityError},
		"NM0602": {"Bad key", SeverityError},
		"NM0701": {"Lock would change", SeverityError},
		"NM0702": {"Number given twice in the lock", SeverityError},
		"NM0703": {"Malformed lock", SeverityError},
		"NM0704": {"Range used up", SeverityError},
	}
}
