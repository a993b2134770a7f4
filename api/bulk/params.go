package bulk

import (
	"net/url"
	"slices"
	"strings"
	"time"

	"pdexbulk/api/auth"
	"pdexbulk/models"
	"pdexbulk/models/fhir"
	"pdexbulk/models/fhir/search"
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

// repeated are the parameters that may be given more than once; their values make one list.
var repeated = []string{"_type", "_typeFilter", "_elements", "patient", "includeAssociatedData"}

// asked is what an export's parameters are read for.
type asked struct {
	op      models.Operation
	lenient bool
	post    bool
	base    string
	now     time.Time
	profile string // of the Group
	// patients are where the patient parameters stand, in the order of ExportParams.Patients.
	patients []string
	// latest and relevant are set when the Provenance of what is exported is asked for, whatever _type says.
	latest, relevant bool
}

// export checks and resolves what an export was asked for. What is not supported is refused, unless the client prefers
// handling=lenient: then it is noted, to be told in the manifest.
//
// A _typeFilter that is not supported is refused in any case: to go on without it would hand out more than was asked for
// (PDex 2.2.0, 180d).
func (a *asked) export(given []parameter, groupID string) (models.ExportParams, error) {
	p := models.ExportParams{GroupID: groupID, Base: a.base}
	seen := map[string]bool{}
	for _, g := range given {
		if strings.Contains(g.value, "\x00") { // JSON can hold one, and nothing that it is kept in
			return p, models.Errorf(models.KindInvalid, "the value has a NUL character").At(g.where)
		}
		known, err := a.take(&p, g, seen[g.name])
		seen[g.name] = true
		switch {
		case err != nil:
			return p, err.At(g.where)
		case known:
		case !a.lenient:
			return p, models.Errorf(models.KindInvalid, "this parameter is not supported").At(g.where)
		default:
			ignore(&p, showable(g.name))
		}
		if len(p.Ignored) > maxIgnored {
			return p, models.Errorf(models.KindInvalid, "more than %d parameters are not supported", maxIgnored)
		}
	}
	if err := a.lineParameters(&p); err != nil {
		return p, err
	}
	if p.OrganizeBy != "" && p.Format == models.FormatParquet {
		if !a.lenient {
			return p, models.Errorf(models.KindInvalid, "Parquet files are of one resource type each; leave this out, or ask for NDJSON").At("organizeOutputBy")
		}
		p.OrganizeBy = ""
		ignore(&p, "organizeOutputBy")
	}
	slices.Sort(p.Types)
	p.Types = slices.Compact(p.Types)
	if a.op != models.OpSystemExport && len(p.Types) > 0 && !slices.ContainsFunc(p.Types, fhir.InPatientCompartment) && !a.lenient {
		return p, models.Errorf(models.KindInvalid, "none of the types is in the Patient compartment").At("_type")
	}
	if len(p.Types) > 1 && p.Types[0] == noType {
		p.Types = p.Types[1:]
	}
	if (a.latest || a.relevant) && slices.ContainsFunc(p.Types, fhir.InPatientCompartment) && !slices.Contains(p.Types, fhir.TypeProvenance) {
		p.Types = append(p.Types, fhir.TypeProvenance)
		slices.Sort(p.Types)
	}
	return p, nil
}

// ignore notes a parameter that was left out of account, by its name alone: "" when that cannot be shown.
func ignore(p *models.ExportParams, name string) {
	if !slices.Contains(p.Ignored, name) {
		p.Ignored = append(p.Ignored, name)
	}
}

// lineParameters checks the parameters that look into resources. They are kept as they were given.
func (a *asked) lineParameters(p *models.ExportParams) error {
	if _, err := (search.Parser{Base: a.base}).TypeFilters(p.TypeFilter); err != nil {
		return err
	}
	if _, err := search.ParseElements(p.Elements); err != nil && !a.lenient {
		return err
	} else if err != nil {
		p.Elements = nil
		ignore(p, "_elements")
	}
	return nil
}

// take reads one parameter and reports whether it is a supported one.
func (a *asked) take(p *models.ExportParams, g parameter, again bool) (known bool, _ *models.Error) {
	var err *models.Error
	name, value := g.name, g.value
	switch name {
	case "_outputFormat":
		err = a.format(p, value)
	case "_typeFilter":
		p.TypeFilter = append(p.TypeFilter, value)
	case "_elements":
		p.Elements = append(p.Elements, value)
	case "patient":
		err = a.patient(p, g)
	case "includeAssociatedData":
		err = a.associated(p, value)
	case "organizeOutputBy":
		err = a.organize(p, value)
	case "allowPartialManifests":
		p.Pages, err = yes(value)
	case "_format":
		err = oneOf(jsonFormats, value, "answers are application/fhir+json")
	case "_since":
		p.Since, err = instant(value)
		// It may be the transactionTime of an export that has just ended, told by another machine's clock.
		if err == nil && p.Since.After(a.now.Add(auth.ClockSkew)) {
			err = models.Errorf(models.KindInvalid, "the instant lies in the future")
		}
	case "_until":
		p.Until, err = instant(value)
	case "_type":
		return true, a.types(p, value)
	case "exportType":
		p.ExportType, err = a.exportType(value)
	default:
		return false, nil
	}
	if again && !slices.Contains(repeated, name) {
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

// yes reads a boolean.
func yes(value string) (bool, *models.Error) {
	if value != "true" && value != "false" {
		return false, models.Errorf(models.KindInvalid, "must be true or false")
	}
	return value == "true", nil
}

// format reads _outputFormat. Parquet is for $export alone: ATR and PDex define NDJSON.
func (a *asked) format(p *models.ExportParams, value string) *models.Error {
	if a.op != models.OpDataExport && oneOf([]string{models.FormatParquet}, value, "") == nil {
		p.Format = models.FormatParquet
		return nil
	}
	return oneOf(formats, value, "the supported format is application/fhir+ndjson, for $export also application/vnd.apache.parquet")
}

// organize reads organizeOutputBy (Bulk Data Access 3.0.0).
func (a *asked) organize(p *models.ExportParams, value string) *models.Error {
	switch {
	case value == "Patient":
		p.OrganizeBy = value
	case a.lenient:
		ignore(p, "organizeOutputBy")
	default:
		return models.Errorf(models.KindInvalid, "output can be organized by Patient alone")
	}
	return nil
}

// patient reads one patient parameter. Whether it names somebody is for checkPatients to say: $davinci-data-export is to ignore what
// names nobody, whatever its form (PDex 2.2.0 Provider Access, 296).
func (a *asked) patient(p *models.ExportParams, g parameter) *models.Error {
	switch {
	case a.op == models.OpSystemExport:
		return models.Errorf(models.KindInvalid, "a system level export takes no patients; use the Patient level")
	case !a.post:
		return models.Errorf(models.KindInvalid, "patients are taken with POST only, in a Parameters resource")
	}
	id := fhir.PatientID(g.value)
	if id == "" && a.op != models.OpDataExport {
		return models.Errorf(models.KindInvalid, "not a reference of the form Patient/id")
	}
	p.Patients = append(p.Patients, id)
	a.patients = append(a.patients, g.where)
	return nil
}

// associated reads includeAssociatedData. Without _type all Provenance is exported anyway; beside a _type it is one type more.
// Of values that contradict each other the least restrictive holds (Bulk Data Access 2.0.0, "includeAssociatedData").
func (a *asked) associated(p *models.ExportParams, list string) *models.Error {
	for value := range strings.SplitSeq(list, ",") {
		switch {
		case value == "LatestProvenanceResources":
			a.latest = true
		case value == "RelevantProvenanceResources":
			a.relevant = true
		case a.lenient:
			ignore(p, "includeAssociatedData")
		default:
			return models.Errorf(models.KindInvalid, "the supported values are LatestProvenanceResources and RelevantProvenanceResources")
		}
	}
	p.LatestProvenance = a.latest && !a.relevant
	return nil
}

func (a *asked) exportType(value string) (string, *models.Error) {
	switch {
	case a.op != models.OpDataExport:
		return "", models.Errorf(models.KindInvalid, "this parameter belongs to $davinci-data-export")
	case a.profile == models.ProviderGroupProfile:
		return providerType(value)
	case a.profile == models.AttributionGroupProfile:
		return listType(value)
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

// types reads a list of resource types. At Patient and Group level only those of the Patient compartment are exported, and
// shared resources that they refer to.
func (a *asked) types(p *models.ExportParams, list string) *models.Error {
	for name := range strings.SplitSeq(list, ",") {
		code, ok := fhir.TypeCode(strings.TrimSpace(name))
		var err *models.Error
		switch {
		case !ok:
			err = models.Errorf(models.KindInvalid, "not a resource type this server exports")
		case code == fhir.TypeBinary:
			err = models.Errorf(models.KindInvalid, "the content of Binary resources leaves as attachments; ask for DocumentReference")
		case a.op != models.OpSystemExport && !fhir.InPatientCompartment(code) && !fhir.Shareable(code):
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
