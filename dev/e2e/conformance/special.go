package conformance

import "strings"

// The made-up people of the special cases. What is known of each is in specialImports.
const (
	ann = "cx-ann"
	bob = "cx-bob"
)

// between lies between the older and the newer resources of the first import.
const between = "2025-02-01T00:00:00Z"

// specialImports are loaded one after the other: the first with the dates it has, the others as they come. In the second and
// third cx-twice changes; the second deletes cx-gone.
var specialImports = []string{
	`{"resourceType":"Organization","id":"cx-org","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"name":"Example Clinic"}
{"resourceType":"Practitioner","id":"cx-prac","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"name":[{"family":"Example"}]}
{"resourceType":"Patient","id":"cx-ann","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"identifier":[{"system":"urn:example:conformance","value":"cx-1"}],"name":[{"family":"Conform","given":["Ann"]}],"gender":"female","birthDate":"1970-01-01","managingOrganization":{"reference":"Organization/cx-org"}}
{"resourceType":"Patient","id":"cx-bob","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"identifier":[{"system":"urn:example:conformance","value":"cx-2"}],"name":[{"family":"Conform","given":["Bob"]}],"gender":"male","birthDate":"1971-01-01"}
{"resourceType":"Patient","id":"cx-dora-1","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"identifier":[{"system":"urn:example:conformance","value":"cx-3"}],"name":[{"family":"Conform","given":["Dora"]}],"gender":"female","birthDate":"1972-02-02"}
{"resourceType":"Patient","id":"cx-dora-2","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"identifier":[{"system":"urn:example:conformance","value":"cx-3"}],"name":[{"family":"Conform","given":["Dora"]}],"gender":"female","birthDate":"1972-02-02"}
{"resourceType":"Observation","id":"cx-old","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2024-12-01","performer":[{"reference":"Practitioner/cx-prac"}],"valueInteger":1}
{"resourceType":"Observation","id":"cx-new","meta":{"lastUpdated":"2025-03-10T00:00:00Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8310-5"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2025-02-20","valueInteger":1}
{"resourceType":"Observation","id":"cx-twice","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2024-12-01","valueInteger":1}
{"resourceType":"Observation","id":"cx-gone","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2024-12-01","valueInteger":1}
{"resourceType":"Observation","id":"cx-bobs","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8867-4"}]},"subject":{"reference":"Patient/cx-bob"},"effectiveDateTime":"2024-12-01","valueInteger":1}
{"resourceType":"MedicationRequest","id":"cx-active","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"active","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/cx-ann"}}
{"resourceType":"MedicationRequest","id":"cx-completed","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"completed","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/cx-ann"}}
{"resourceType":"MedicationRequest","id":"cx-stopped","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"stopped","intent":"order","medicationCodeableConcept":{"text":"x"},"subject":{"reference":"Patient/cx-ann"}}
{"resourceType":"Condition","id":"cx-x","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"38341003"}]},"subject":{"reference":"Patient/cx-ann"}}
{"resourceType":"Condition","id":"cx-y","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"code":{"coding":[{"system":"http://snomed.info/sct","code":"44054006"}]},"subject":{"reference":"Patient/cx-ann"}}
{"resourceType":"Provenance","id":"cx-prov","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"target":[{"reference":"Observation/cx-old"}],"recorded":"2025-01-10T00:00:00Z","agent":[{"who":{"reference":"Organization/cx-org"}}]}
{"resourceType":"DocumentReference","id":"cx-inline","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"current","subject":{"reference":"Patient/cx-ann"},"content":[{"attachment":{"contentType":"text/plain","data":"aGVsbG8="}}]}
{"resourceType":"DocumentReference","id":"cx-linked","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"status":"current","subject":{"reference":"Patient/cx-ann"},"content":[{"attachment":{"contentType":"text/plain","url":"Binary/cx-bin"}}]}
{"resourceType":"Binary","id":"cx-bin","meta":{"lastUpdated":"2025-01-10T00:00:00Z"},"contentType":"text/plain","securityContext":{"reference":"Patient/cx-ann"},"data":"aGVsbG8="}
`,
	`{"resourceType":"Observation","id":"cx-twice","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2024-12-01","valueInteger":2}
{"resourceType":"Bundle","type":"transaction","entry":[{"request":{"method":"DELETE","url":"Observation/cx-gone"}}]}
`,
	`{"resourceType":"Observation","id":"cx-twice","status":"final","code":{"coding":[{"system":"http://loinc.org","code":"8302-2"}]},"subject":{"reference":"Patient/cx-ann"},"effectiveDateTime":"2024-12-01","valueInteger":3}
`,
}

// annOnly restricts an export at Patient level to one person.
func annOnly(more ...string) string {
	return strings.Join(append([]string{patientParameter(ann)}, more...), ",")
}

// named is a parameter with a string.
func named(name, value string) string { return `{"name":"` + name + `","valueString":"` + value + `"}` }

// special is an export of what there is about ann.
func (t *T) special() *export {
	t.ours()
	return t.world.special.get(func() *export { return t.post(t.backend(), "Patient/$export", annOnly()) })
}
