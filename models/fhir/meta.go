package fhir

// profileNode lets walk note the entries of meta.profile.
var profileNode = node{act: actProfile}

// meta reads the meta element of the resource.
func (f *Facts) meta(i int) int {
	s := &f.scan
	if i >= len(s.b) || s.b[i] != '{' {
		return s.fail(ReasonBadMeta, i)
	}
	i++
	f.splice.metaStart = i
	if i = s.space(i); i < len(s.b) && s.b[i] == '}' {
		f.splice.metaEmpty = true
		return i + 1
	}
	var seen uint8 // one bit for each member that counts
	for more := true; more; {
		start, end, value := s.key(i)
		if value < 0 {
			return stop
		}
		var known uint8
		switch string(s.b[start:end]) {
		case "lastUpdated":
			known, i = 1, f.lastUpdated(value)
		case "versionId":
			known = 2
			f.VersionID, i = f.string(value, ReasonBadMeta)
		case "profile":
			known, i = 4, f.walk(value, 2, &profileNode)
		case "security":
			known, i = 8, f.security(value)
		default:
			i = s.skip(value, 2)
		}
		if i < 0 {
			return stop
		}
		if seen&known != 0 {
			return s.fail(ReasonDuplicateKey, start)
		}
		seen |= known
		if i, more = s.next(i, '}'); i < 0 {
			return stop
		}
	}
	return i
}

func (f *Facts) lastUpdated(i int) int {
	text, after := f.string(i, ReasonBadLastUpdated)
	if after < 0 {
		return stop
	}
	d, ok := parseDate(text)
	if !ok || d.Precision < PrecisionSecond {
		return f.scan.fail(ReasonBadLastUpdated, i)
	}
	f.HasLastUpdated, f.LastUpdated = true, d.Millis
	f.splice.start, f.splice.end = i, after
	return after
}

// security reads meta.security. Labels decide who may see the resource, so what is not a list of codings is refused rather
// than passed over.
func (f *Facts) security(i int) int {
	s := &f.scan
	if i >= len(s.b) || s.b[i] != '[' {
		return s.fail(ReasonBadSecurityMeta, i)
	}
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == ']' {
		return i + 1
	}
	for more := true; more; {
		if i = f.label(s.space(i)); i < 0 {
			return stop
		}
		if i, more = s.next(i, ']'); i < 0 {
			return stop
		}
	}
	return i
}

// label reads one coding of meta.security.
func (f *Facts) label(i int) int {
	s := &f.scan
	if i >= len(s.b) || s.b[i] != '{' {
		return s.fail(ReasonBadSecurityMeta, i)
	}
	if i = s.space(i + 1); i < len(s.b) && s.b[i] == '}' {
		return i + 1
	}
	var system, code []byte
	for more := true; more; {
		start, end, value := s.key(i)
		if value < 0 {
			return stop
		}
		var field *[]byte
		switch string(s.b[start:end]) {
		case "system":
			field = &system
		case "code":
			field = &code
		}
		if field == nil {
			i = s.skip(value, 4)
		} else {
			if *field != nil {
				return s.fail(ReasonDuplicateKey, start)
			}
			*field, i = f.string(value, ReasonBadSecurityMeta)
		}
		if i < 0 {
			return stop
		}
		if i, more = s.next(i, '}'); i < 0 {
			return stop
		}
	}
	f.Sensitive = f.Sensitive || sensitiveLabel(system, code)
	return i
}
