package fhir

import (
	"bytes"
	"encoding/json"
	"math"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/stretchr/testify/require"
)

// oracle answers what Inspect answers, in another way: it decodes the whole resource and follows its own list of elements.
type oracle map[string]any

// at returns every value at a path, lists flattened.
func (o oracle) at(path string) []any {
	found := []any{map[string]any(o)}
	for name := range strings.SplitSeq(path, ".") {
		var below []any
		for _, v := range found {
			m, ok := v.(map[string]any)
			if !ok {
				continue
			}
			if list, ok := m[name].([]any); ok {
				below = append(below, list...)
			} else if m[name] != nil {
				below = append(below, m[name])
			}
		}
		found = below
	}
	return found
}

func (o oracle) text(path string) string {
	for _, v := range o.at(path) {
		if s, ok := v.(string); ok {
			return s
		}
	}
	return ""
}

// The elements that name the subject where that is not patient or subject, and the others that may stand in.
var oracleSubject = map[string][]string{
	"Appointment": {"participant.actor"}, "AppointmentResponse": {"actor"}, "AuditEvent": {"agent.who", "entity.what"},
	"Binary": {"securityContext"}, "Coverage": {"beneficiary"}, "EnrollmentRequest": {"candidate"}, "Group": {"member.entity"},
	"Person": {"link.target"}, "Provenance": {"target"}, "ResearchSubject": {"individual"}, "Schedule": {"actor"},
	"SupplyRequest": {"deliverTo"}, "Task": {"for"},
}

var oracleStandIn = map[string][]string{
	"AllergyIntolerance": {"recorder", "asserter"}, "Basic": {"author"}, "CarePlan": {"activity.detail.performer"},
	"CareTeam": {"participant.member"}, "Claim": {"payee.party"}, "ExplanationOfBenefit": {"payee.party"},
	"Communication": {"sender", "recipient"}, "CommunicationRequest": {"sender", "recipient", "requester"},
	"Composition": {"author", "attester.party"}, "Condition": {"asserter"}, "Coverage": {"policyHolder", "subscriber", "payor"},
	"DeviceRequest": {"performer"}, "DocumentManifest": {"author", "recipient"}, "DocumentReference": {"author"},
	"Invoice": {"recipient"}, "List": {"source"}, "MedicationAdministration": {"performer.actor"},
	"MedicationDispense": {"receiver"}, "Observation": {"performer"}, "Procedure": {"performer.actor"},
	"QuestionnaireResponse": {"author"}, "RequestGroup": {"action.participant"}, "ServiceRequest": {"performer"},
}

// oracleElsewhere lists the types in the data that have a subject or patient element which is not looked at.
var oracleElsewhere = []string{"Medication", "Location", "Organization", "ResearchStudy"}

// oraclePatientOnly lists the elements in which a urn:uuid can be taken for a patient.
var oraclePatientOnly = []string{"patient", "subject", "beneficiary", "candidate", "individual"}

var (
	oracleReference = regexp.MustCompile(`^(?:https?://.*/)?Patient/([A-Za-z0-9\-.]{1,64})(?:/_history/.*)?$`)
	oracleURN       = regexp.MustCompile(`^urn:uuid:([A-Za-z0-9\-.]{1,64})$`)
)

// oracleNotices reads a line token by token: how many members are called code, however deep, and whether anything in it has the name
// of money or of a currency, or is another resource.
func oracleNotices(t require.TestingT, line []byte) (codes int, money bool) {
	d := json.NewDecoder(bytes.NewReader(line))
	resources := 0
	var read func()
	read = func() {
		token, err := d.Token()
		require.NoError(t, err)
		switch token {
		case json.Delim('['):
			for d.More() {
				read()
			}
			_, err = d.Token()
		case json.Delim('{'):
			for d.More() {
				name, err := d.Token()
				require.NoError(t, err)
				switch name {
				case "code":
					codes++
				case "resourceType":
					resources++
				case "currency", "_currency", "valueMoney":
					money = true
				case "system":
					rest := line[d.InputOffset():]
					var system any
					require.NoError(t, json.NewDecoder(bytes.NewReader(rest[bytes.IndexByte(rest, ':')+1:])).Decode(&system))
					money = money || system == CurrencySystem
				}
				read()
			}
			_, err = d.Token()
		}
		require.NoError(t, err)
	}
	read()
	return codes, money || resources > 1
}

func (o oracle) patient() string {
	kind := o.text("resourceType")
	if kind == "Patient" {
		return o.text("id")
	}
	if slices.Contains(oracleElsewhere, kind) {
		return ""
	}
	subject := []string{"patient", "subject"}
	if own, ok := oracleSubject[kind]; ok {
		subject = own
	}
	present := false
	for _, path := range subject {
		top, _, _ := strings.Cut(path, ".")
		present = present || o[top] != nil
	}
	if !present {
		subject = oracleStandIn[kind]
	}
	for _, path := range subject {
		for _, v := range o.at(path + ".reference") {
			s, _ := v.(string)
			if m := oracleReference.FindStringSubmatch(s); m != nil {
				return m[1]
			}
			if m := oracleURN.FindStringSubmatch(s); m != nil && slices.Contains(oraclePatientOnly, path) {
				return m[1]
			}
		}
	}
	return ""
}

// The elements that hold the date of service, in order of preference; the first list with a date counts whole.
var oracleDates = map[string][][]string{
	"Account":                     {{"servicePeriod"}},
	"Appointment":                 {{"start", "end"}},
	"AppointmentResponse":         {{"start", "end"}},
	"AuditEvent":                  {{"recorded"}},
	"Basic":                       {{"created"}},
	"CarePlan":                    {{"period"}, {"created"}},
	"ChargeItem":                  {{"occurrenceDateTime", "occurrencePeriod"}, {"enteredDate"}},
	"Claim":                       {{"billablePeriod", "item.servicedDate", "item.servicedPeriod"}, {"created"}},
	"ClaimResponse":               {{"created"}},
	"ClinicalImpression":          {{"effectiveDateTime", "effectivePeriod"}, {"date"}},
	"Communication":               {{"sent"}, {"received"}},
	"CommunicationRequest":        {{"authoredOn"}},
	"Composition":                 {{"date"}},
	"Condition":                   {{"onsetDateTime", "onsetPeriod", "abatementDateTime", "abatementPeriod"}, {"recordedDate"}},
	"CoverageEligibilityRequest":  {{"servicedDate", "servicedPeriod"}, {"created"}},
	"CoverageEligibilityResponse": {{"servicedDate", "servicedPeriod"}, {"created"}},
	"DetectedIssue":               {{"identifiedDateTime", "identifiedPeriod"}},
	"DeviceRequest":               {{"authoredOn"}},
	"DeviceUseStatement":          {{"timingDateTime", "timingPeriod", "timingTiming.event"}, {"recordedOn"}},
	"DiagnosticReport":            {{"effectiveDateTime", "effectivePeriod"}, {"issued"}},
	"DocumentManifest":            {{"created"}},
	"DocumentReference":           {{"context.period"}, {"date"}},
	"Encounter":                   {{"period"}},
	"EpisodeOfCare":               {{"period"}},
	"ExplanationOfBenefit":        {{"billablePeriod", "item.servicedDate", "item.servicedPeriod"}, {"created"}},
	"Flag":                        {{"period"}},
	"Goal":                        {{"target.dueDate"}, {"startDate"}},
	"ImagingStudy":                {{"started"}},
	"Immunization":                {{"occurrenceDateTime"}, {"recorded"}},
	"ImmunizationRecommendation":  {{"date"}},
	"Invoice":                     {{"date"}},
	"List":                        {{"date"}},
	"Media":                       {{"createdDateTime", "createdPeriod"}, {"issued"}},
	"MedicationAdministration":    {{"effectiveDateTime", "effectivePeriod"}},
	"MedicationDispense":          {{"whenHandedOver"}, {"whenPrepared"}},
	"MedicationRequest":           {{"authoredOn"}},
	"MedicationStatement":         {{"effectiveDateTime", "effectivePeriod"}, {"dateAsserted"}},
	"NutritionOrder":              {{"dateTime"}},
	"Observation":                 {{"effectiveDateTime", "effectivePeriod", "effectiveInstant", "effectiveTiming.event"}, {"issued"}},
	"Procedure":                   {{"performedDateTime", "performedPeriod"}},
	"QuestionnaireResponse":       {{"authored"}},
	"RequestGroup":                {{"authoredOn"}},
	"ResearchSubject":             {{"period"}},
	"RiskAssessment":              {{"occurrenceDateTime", "occurrencePeriod"}},
	"ServiceRequest":              {{"authoredOn"}, {"occurrenceDateTime", "occurrencePeriod"}},
	"SupplyDelivery":              {{"occurrenceDateTime", "occurrencePeriod"}},
	"SupplyRequest":               {{"authoredOn"}},
	"Task":                        {{"authoredOn"}},
	"VisionPrescription":          {{"dateWritten"}, {"created"}},
}

// dates returns the days of service as time.Time midnights in UTC.
func (o oracle) dates() (first, last time.Time, dated bool) {
	kind := o.text("resourceType")
	for _, group := range oracleDates[kind] {
		for _, path := range group {
			for _, v := range o.at(path) {
				var from, to time.Time
				var ok bool
				if p, period := v.(map[string]any); period {
					from, to, ok = oraclePeriod(p, kind == "Claim" || kind == "ExplanationOfBenefit")
				} else {
					s, _ := v.(string)
					from, to, ok = oracleSpan(s)
				}
				if !ok {
					continue
				}
				if !dated || from.Before(first) {
					first = from
				}
				if !dated || to.After(last) {
					last = to
				}
				dated = true
			}
		}
		if dated && kind == "Condition" && o.ongoing() {
			last = time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)
		}
		if dated {
			return first, last, true
		}
	}
	return first, last, false
}

// ongoing reports whether nothing says that a Condition has ended.
func (o oracle) ongoing() bool {
	for name := range o {
		if strings.HasPrefix(name, "abatement") {
			return false
		}
	}
	for _, code := range o.at("clinicalStatus.coding.code") {
		if code == "inactive" || code == "remission" || code == "resolved" {
			return false
		}
	}
	return true
}

func oraclePeriod(p map[string]any, closed bool) (first, last time.Time, ok bool) {
	start, _ := p["start"].(string)
	end, _ := p["end"].(string)
	from, fromLast, hasStart := oracleSpan(start)
	toFirst, to, hasEnd := oracleSpan(end)
	switch {
	case hasStart && hasEnd:
		if toFirst.Before(from) {
			from = toFirst
		}
		if fromLast.After(to) {
			to = fromLast
		}
		return from, to, true
	case hasStart && closed:
		return from, fromLast, true
	case hasStart:
		return from, time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC), true
	case hasEnd && closed:
		return toFirst, to, true
	case hasEnd:
		return time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC), to, true
	}
	return from, to, false
}

// oracleSpan widens a date, dateTime or instant with the time package.
func oracleSpan(s string) (first, last time.Time, ok bool) {
	if t, err := time.Parse("2006", s); err == nil {
		return t, t.AddDate(1, 0, -1), true
	}
	if t, err := time.Parse("2006-01", s); err == nil {
		return t, t.AddDate(0, 1, -1), true
	}
	if len(s) > 10 {
		if _, err := time.Parse(time.RFC3339Nano, s); err != nil {
			return first, last, false
		}
		s = s[:10]
	}
	t, err := time.Parse(time.DateOnly, s)
	return t, t, err == nil
}

// lastUpdated returns meta.lastUpdated in milliseconds, math.MinInt64 when absent.
func (o oracle) lastUpdated() int64 {
	t, err := time.Parse(time.RFC3339Nano, o.text("meta.lastUpdated"))
	if err != nil {
		return math.MinInt64
	}
	return t.UnixMilli()
}

// decodeOracle keeps numbers as text: JSON allows such as no float64 holds.
func decodeOracle(line []byte) (oracle, error) {
	decoder := json.NewDecoder(bytes.NewReader(line))
	decoder.UseNumber()
	var o oracle
	err := decoder.Decode(&o)
	return o, err
}
