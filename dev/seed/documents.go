package seed

import (
	"encoding/base64"
	"strconv"
	"strings"
)

// note writes the clinical note of a visit, as text in the resource.
func (e *emitter) note(v *visit) {
	kind := code{sysLOINC, "11506-3", "Progress note"}
	if v.kind == inpatientStay {
		kind = code{sysLOINC, "18842-5", "Discharge summary"}
	}
	var text strings.Builder
	text.WriteString("Seen at " + v.org.name + ". ")
	if v.ill != nil {
		text.WriteString("Presents with " + v.ill.name + ". ")
	} else {
		text.WriteString("Routine check-up, no complaints. ")
	}
	for range e.r.between(3, 8) {
		text.WriteString(pick(&e.r, noteSentences) + " ")
	}
	text.WriteString("Return in " + strconv.Itoa(e.r.between(2, 52)) + " weeks.\n")
	e.document(about{on: v.from, label: v.label}, kind, "text/plain", "Note", text.String(), v.doc, v.encounter)
}

var noteSentences = []string{
	"Sleeps well and eats a varied diet.", "Denies fever, chills or weight loss.", "Lungs clear on both sides.", "Heart sounds regular, no murmur.", "Abdomen soft and not tender.",
	"No change in medicines since the last visit.", "Walks without aid.", "Advised on exercise and salt.", "Reviewed results with the patient, who agrees with the plan.", "Skin warm and dry.",
	"Family history unchanged.", "Advised to call if symptoms return or get worse.", "Vaccines reviewed; next due in autumn.", "Neck supple, no swollen nodes.", "Gait steady, reflexes equal.",
	"Pain rated three of ten, better than last month.", "Will repeat laboratory work before the next visit.", "Uses the inhaler less than twice a week.", "Reports taking tablets on most days.", "No known exposure to illness at home.",
}

// document writes a DocumentReference with its content inline; author and encounter may be missing (nil and "").
func (e *emitter) document(a about, kind code, contentType, title, content string, author *practitioner, encounter string) string {
	w := &e.w
	id := e.begin(DocumentReference, usCore+"documentreference", a)
	w.arr("identifier")
	w.obj("")
	w.str("system", "urn:ietf:rfc:3986")
	w.str("value", "urn:uuid:"+id)
	w.end()
	w.endArr()
	w.str("status", "current")
	w.concept("type", kind.display, kind)
	w.concepts("category", "", code{"http://hl7.org/fhir/us/core/CodeSystem/us-core-documentreference-category", "clinical-note", "Clinical Note"})
	e.subject("subject")
	w.instant("date", a.on.at(21, e.r.n(60), 0), 0)
	if author != nil {
		w.arr("author")
		w.ref("", Practitioner, author.id, "")
		w.endArr()
	}
	w.ref("custodian", Organization, PayerID, PayerName)
	w.arr("content")
	w.obj("")
	w.obj("attachment")
	w.str("contentType", contentType)
	w.str("language", "en-US")
	w.name("data")
	w.b = append(w.b, '"')
	w.b = base64.StdEncoding.AppendEncode(w.b, []byte(content))
	w.b = append(w.b, '"')
	w.num("size", len(content))
	w.str("title", title)
	w.end()
	w.end()
	w.endArr()
	w.obj("context")
	if encounter != "" {
		w.arr("encounter")
		w.ref("", Encounter, encounter, "")
		w.endArr()
	}
	w.dates("period", a.on, a.on)
	w.end()
	e.finish(DocumentReference)
	return id
}

// pdf returns a PDF of one page that shows the lines of text. The lines must be ASCII without parentheses or backslashes.
func pdf(lines ...string) string {
	page := "BT /F1 11 Tf 14 TL 56 760 Td (" + strings.Join(lines, ") Tj T* (") + ") Tj T* ET"
	objects := [...]string{
		"<</Type/Catalog/Pages 2 0 R>>",
		"<</Type/Pages/Kids[3 0 R]/Count 1>>",
		"<</Type/Page/Parent 2 0 R/MediaBox[0 0 612 792]/Contents 5 0 R/Resources<</Font<</F1 4 0 R>>>>>>",
		"<</Type/Font/Subtype/Type1/BaseFont/Helvetica>>",
		"<</Length " + strconv.Itoa(len(page)) + ">>stream\n" + page + "\nendstream",
	}
	out := []byte("%PDF-1.4\n")
	xref := []byte("xref\n0 6\n0000000000 65535 f \n")
	for i, o := range objects {
		xref = append(appendPadded(xref, len(out), 10), " 00000 n \n"...)
		out = append(out, strconv.Itoa(i+1)+" 0 obj\n"+o+"\nendobj\n"...)
	}
	start := len(out)
	out = append(out, string(xref)+"trailer\n<</Size 6/Root 1 0 R>>\nstartxref\n"+strconv.Itoa(start)+"\n%%EOF\n"...)
	return string(out)
}
