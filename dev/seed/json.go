package seed

import (
	"strconv"
	"unicode/utf8"
)

// jsonWriter appends compact JSON to b. Commas are placed by looking at the byte before, so that callers only say what
// comes next: obj/end, arr/endArr around members. It exists for speed; encoding/json would be the slowest part of a run.
type jsonWriter struct{ b []byte }

// name starts a member, or an array element when key is "".
func (w *jsonWriter) name(key string) {
	if n := len(w.b); n > 0 {
		if c := w.b[n-1]; c != '{' && c != '[' && c != ':' && c != '\n' {
			w.b = append(w.b, ',')
		}
	}
	if key == "" {
		return
	}
	w.b = append(w.b, '"')
	w.b = append(w.b, key...)
	w.b = append(w.b, '"', ':')
}

func (w *jsonWriter) obj(key string) { w.name(key); w.b = append(w.b, '{') }
func (w *jsonWriter) end()           { w.b = append(w.b, '}') }
func (w *jsonWriter) arr(key string) { w.name(key); w.b = append(w.b, '[') }
func (w *jsonWriter) endArr()        { w.b = append(w.b, ']') }

// raw appends value as it is: it must be JSON.
func (w *jsonWriter) raw(key, value string) { w.name(key); w.b = append(w.b, value...) }

func (w *jsonWriter) str(key, value string) {
	w.name(key)
	w.b = append(w.b, '"')
	w.b = appendEscaped(w.b, value)
	w.b = append(w.b, '"')
}

// strs writes an array of strings; empty ones are left out.
func (w *jsonWriter) strs(key string, values ...string) {
	w.arr(key)
	for _, v := range values {
		if v != "" {
			w.str("", v)
		}
	}
	w.endArr()
}

func appendEscaped(b []byte, s string) []byte {
	for i := 0; i < len(s); {
		c := s[i]
		switch {
		case c == '"' || c == '\\':
			b = append(b, '\\', c)
		case c == '\n':
			b = append(b, '\\', 'n')
		case c < 0x20:
			b = append(b, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
		case c < utf8.RuneSelf:
			b = append(b, c)
		default:
			r, size := utf8.DecodeRuneInString(s[i:])
			b = utf8.AppendRune(b, r)
			i += size
			continue
		}
		i++
	}
	return b
}

func (w *jsonWriter) num(key string, n int) {
	w.name(key)
	w.b = strconv.AppendInt(w.b, int64(n), 10)
}

func (w *jsonWriter) boolean(key string, v bool) {
	w.name(key)
	w.b = strconv.AppendBool(w.b, v)
}

// decimal writes n divided by ten to the power of places.
func (w *jsonWriter) decimal(key string, n, places int) {
	w.name(key)
	if n < 0 {
		w.b = append(w.b, '-')
		n = -n
	}
	p := pow10(places)
	w.b = strconv.AppendInt(w.b, int64(n/p), 10)
	if places > 0 {
		w.b = append(w.b, '.')
		w.b = appendPadded(w.b, n%p, places)
	}
}

func (w *jsonWriter) date(key string, d day) {
	w.name(key)
	w.b = append(w.b, '"')
	w.b = appendDay(w.b, d)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) dateTime(key string, t moment, offset int) {
	w.name(key)
	w.b = append(w.b, '"')
	w.b = appendMoment(w.b, t, offset)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) instant(key string, t moment, millis int) {
	w.name(key)
	w.b = append(w.b, '"')
	w.b = appendInstant(w.b, t, millis)
	w.b = append(w.b, '"')
}

func (w *jsonWriter) dates(key string, from, to day) {
	w.obj(key)
	w.date("start", from)
	if to != 0 {
		w.date("end", to)
	}
	w.end()
}

// ref writes a relative reference; an empty display is left out.
func (w *jsonWriter) ref(key string, t Type, id, display string) {
	w.obj(key)
	w.name("reference")
	w.b = append(w.b, '"')
	w.b = append(w.b, typeNames[t]...)
	w.b = append(w.b, '/')
	w.b = append(w.b, id...)
	w.b = append(w.b, '"')
	if display != "" {
		w.str("display", display)
	}
	w.end()
}

// code is a coding; an empty display is left out.
type code struct{ system, code, display string }

func (w *jsonWriter) coding(key string, c code) {
	w.obj(key)
	w.str("system", c.system)
	w.str("code", c.code)
	if c.display != "" {
		w.str("display", c.display)
	}
	w.end()
}

// concept writes a CodeableConcept of the codings, with text when it is not empty.
func (w *jsonWriter) concept(key, text string, codings ...code) {
	w.obj(key)
	w.arr("coding")
	for _, c := range codings {
		w.coding("", c)
	}
	w.endArr()
	if text != "" {
		w.str("text", text)
	}
	w.end()
}

// concepts writes an array of one CodeableConcept.
func (w *jsonWriter) concepts(key, text string, codings ...code) {
	w.arr(key)
	w.concept("", text, codings...)
	w.endArr()
}

func (w *jsonWriter) money(key string, cents int) {
	w.obj(key)
	w.decimal("value", cents, 2)
	w.str("currency", "USD")
	w.end()
}

func (w *jsonWriter) quantity(key string, value, places int, unit, ucum string) {
	w.obj(key)
	w.decimal("value", value, places)
	if unit != "" {
		w.str("unit", unit)
		w.str("system", sysUCUM)
		w.str("code", ucum)
	}
	w.end()
}

// identifier writes an Identifier of a v2-0203 type.
func (w *jsonWriter) identifier(kind, system, value string) {
	w.obj("")
	w.concept("type", "", code{sysV2Identifier, kind, ""})
	w.str("system", system)
	w.str("value", value)
	w.end()
}
