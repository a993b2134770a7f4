package bulk

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"pdexbulk/models"
	"pdexbulk/models/fhir"
)

// parseQuery reads a query in its order.
func parseQuery(raw string) ([]parameter, error) {
	var out []parameter
	for pair := range strings.SplitSeq(raw, "&") {
		if pair == "" {
			continue
		}
		name, value, _ := strings.Cut(pair, "=")
		n, nerr := url.QueryUnescape(name)
		v, verr := url.QueryUnescape(value)
		if nerr != nil || verr != nil {
			return nil, models.Errorf(models.KindInvalid, "the query is not percent-encoded as it should be")
		}
		out = append(out, parameter{n, v, showable(n)})
	}
	return out, nil
}

// showable returns a parameter's name when it has the shape of one, and "" otherwise: what else is written there may be
// anything, and must not come back in an answer.
func showable(name string) string {
	if len(name) > 40 || name == "" || strings.IndexFunc(name, func(r rune) bool { return r != '_' && (r|0x20 < 'a' || r|0x20 > 'z') }) >= 0 {
		return ""
	}
	return name
}

// formats are the spellings of NDJSON. A plus sign that was not percent-encoded arrives as a space.
var formats = []string{"application/fhir+ndjson", "application/fhir ndjson", "application/ndjson", "ndjson"}

// jsonFormats are the spellings of FHIR JSON.
var jsonFormats = []string{"application/fhir+json", "application/fhir json", "application/json", "json"}

const (
	// noType stands for the types of an export that asked for none but unsupported ones: there are no resources of it.
	noType int16 = 0
	// maxIgnored bounds how many parameters are ignored in one request.
	maxIgnored = 50
)

// never are the parameters that keep data out of an export. To go on without them would hand out more than was asked for, so
// they are refused even when the client asks for leniency (PDex 2.2.0, 180d; Bulk Data Access 2.0.0, "patient").
var never = []string{"patient", "_typeFilter"}

// asked is what an export's parameters are read for.
type asked struct {
	op      models.Operation
	lenient bool
	now     time.Time
}

// export checks and resolves what an export was asked for. What is not supported is refused, unless the client prefers
// handling=lenient: then it is noted, to be told in the manifest.
func (a asked) export(given []parameter, groupID string) (models.ExportParams, error) {
	p := models.ExportParams{GroupID: groupID}
	seen := map[string]bool{}
	for _, g := range given {
		known, err := a.take(&p, g.name, g.value, seen[g.name])
		seen[g.name] = true
		switch {
		case err != nil:
			return p, err.At(g.where)
		case known:
		case !a.lenient || slices.Contains(never, g.name):
			return p, models.Errorf(models.KindInvalid, "this parameter is not supported").At(g.where)
		default:
			ignore(&p, showable(g.name))
		}
		if len(p.Ignored) > maxIgnored {
			return p, models.Errorf(models.KindInvalid, "more than %d parameters are not supported", maxIgnored)
		}
	}
	slices.Sort(p.Types)
	p.Types = slices.Compact(p.Types)
	if len(p.Types) > 1 && p.Types[0] == noType {
		p.Types = p.Types[1:]
	}
	return p, nil
}

// ignore notes a parameter that was left out of account, by its name alone: "" when that cannot be shown.
func ignore(p *models.ExportParams, name string) {
	if !slices.Contains(p.Ignored, name) {
		p.Ignored = append(p.Ignored, name)
	}
}

// take reads one parameter and reports whether it is a supported one.
func (a asked) take(p *models.ExportParams, name, value string, again bool) (known bool, _ *models.Error) {
	var err *models.Error
	switch name {
	case "_outputFormat":
		err = oneOf(formats, value, "the supported format is application/fhir+ndjson")
	case "_format":
		err = oneOf(jsonFormats, value, "answers are application/fhir+json")
	case "_since":
		p.Since, err = instant(value)
		if err == nil && p.Since.After(a.now) {
			err = models.Errorf(models.KindInvalid, "the instant lies in the future")
		}
	case "_until":
		p.Until, err = instant(value)
	case "_type":
		return true, a.types(p, value)
	case "exportType":
		p.ExportType, err = exportType(a.op, value)
	default:
		return false, nil
	}
	if again {
		err = models.Errorf(models.KindInvalid, "this parameter may be given once only")
	}
	return true, err
}

func oneOf(allowed []string, value, refusal string) *models.Error {
	media, _, _ := strings.Cut(value, ";")
	if slices.Contains(allowed, strings.ToLower(strings.TrimSpace(media))) {
		return nil
	}
	return models.Errorf(models.KindInvalid, "%s", refusal)
}

func exportType(op models.Operation, value string) (string, *models.Error) {
	switch {
	case op != models.OpDataExport:
		return "", models.Errorf(models.KindInvalid, "this parameter belongs to $davinci-data-export")
	case value == p2pExport:
		return value, nil
	case value == strings.TrimSuffix(p2pExport, "#payertopayer"):
		return "", models.Errorf(models.KindInvalid, "the part behind # is missing; in a URL, write the # as %%23")
	}
	return "", models.Errorf(models.KindInvalid, "for this Group the export type is %s", p2pExport)
}

// instant reads a FHIR instant. A plus sign that was not percent-encoded arrives as a space.
func instant(value string) (*time.Time, *models.Error) {
	t, err := fhir.ParseInstant(strings.Replace(value, " ", "+", 1))
	if err != nil {
		return nil, models.Errorf(models.KindInvalid, "not an instant of the form 2026-01-31T12:00:00Z")
	}
	t = t.UTC()
	return &t, nil
}

// types reads a list of resource types. At Patient and Group level only those of the Patient compartment are exported.
func (a asked) types(p *models.ExportParams, list string) *models.Error {
	for name := range strings.SplitSeq(list, ",") {
		code, ok := fhir.TypeCode(strings.TrimSpace(name))
		var err *models.Error
		switch {
		case !ok:
			err = models.Errorf(models.KindInvalid, "not a resource type this server exports")
		case a.op != models.OpSystemExport && !fhir.InPatientCompartment(code):
			err = models.Errorf(models.KindInvalid, "%s is not in the Patient compartment", fhir.TypeName(code))
		}
		if err != nil && !a.lenient {
			return err
		}
		if err != nil {
			code = noType
			ignore(p, "_type")
		}
		p.Types = append(p.Types, code)
	}
	return nil
}
