package seed

// directory writes the resources that belong to no member: the payers and medications once, providers for each market.
type directory struct {
	world
	out *block
	e   emitter
}

func newDirectory(w world, out *block, key uint64) *directory {
	return &directory{world: w, out: out, e: emitter{world: w, out: out, r: newRNG(w.seed, domainMarket, ^key)}}
}

func (d *directory) begin(t Type, id, profile string) *jsonWriter {
	d.e.w.b = d.out.lines[t]
	d.e.head(t, id, profile, d.e.recorded(d.anchor-day(d.e.r.between(60, 900))), "")
	return &d.e.w
}

// plan writes the payers and the medications.
func (d *directory) plan() {
	d.payer(PayerID, PayerName, PayerNPI, PayerNAIC)
	d.payer(RequesterID, RequesterName, RequesterNPI, RequesterNAIC)
	d.payer(BystanderID, BystanderName, BystanderNPI, BystanderNAIC)
	for i, m := range medications {
		w := d.begin(Medication, d.medicationID(i), usCore+"medication")
		w.concept("code", m.name, code{sysRxNorm, m.rxnorm, m.name}, code{sysNDC, m.ndc(), ""})
		w.str("status", "active")
		d.e.finish(Medication)
	}
}

func (w world) medicationID(i int) string {
	return identity{seed: w.seed, key: 0x6d6564}.id(Medication, i)
}

func (d *directory) payer(id, name, npi, naic string) {
	w := d.begin(Organization, id, hrex+"hrex-organization")
	w.arr("identifier")
	w.obj("")
	w.str("system", NPISystem)
	w.str("value", npi)
	w.end()
	w.obj("")
	w.str("system", NAICSystem)
	w.str("value", naic)
	w.end()
	w.endArr()
	w.boolean("active", true)
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/organization-type", "pay", "Payer"})
	w.str("name", name)
	w.arr("telecom")
	w.telecom("phone", "800-555-0"+naic[2:], "work")
	w.endArr()
	d.e.finish(Organization)
}

func (d *directory) market(m *market) {
	for i := range m.orgs {
		d.organization(&m.orgs[i])
	}
	for i := range m.practitioners {
		d.practitioner(&m.practitioners[i], m)
	}
}

func (d *directory) organization(o *provider) {
	w := d.begin(Organization, o.id, usCore+"organization")
	w.arr("identifier")
	w.obj("")
	w.str("system", NPISystem)
	w.str("value", o.npi)
	w.end()
	w.endArr()
	w.boolean("active", true)
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/organization-type", "prov", "Healthcare Provider"})
	w.str("name", o.name)
	w.arr("telecom")
	w.telecom("phone", "800-555-"+o.npi[6:], "work")
	w.endArr()
	w.arr("address")
	w.address(&o.address, "")
	w.endArr()
	d.e.finish(Organization)

	w = d.begin(Location, o.locationID, usCore+"location")
	w.str("status", "active")
	w.str("name", o.name)
	w.concepts("type", "", code{"http://terminology.hl7.org/CodeSystem/v3-RoleCode", locationCodes[o.kind], ""})
	w.raw("address", "")
	w.address(&o.address, "")
	w.ref("managingOrganization", Organization, o.id, o.name)
	d.e.finish(Location)
}

var locationCodes = [...]string{hospital: "HOSP", clinic: "OF", pharmacy: "OUTPHARM", laboratory: "HLAB", dentalOffice: "DENTAL", homeCare: "HOMEHEALTH"}

func (d *directory) practitioner(p *practitioner, m *market) {
	w := d.begin(Practitioner, p.id, usCore+"practitioner")
	w.arr("identifier")
	w.obj("")
	w.str("system", NPISystem)
	w.str("value", p.npi)
	w.end()
	w.endArr()
	w.boolean("active", true)
	w.arr("name")
	w.obj("")
	w.str("family", p.family)
	w.strs("given", p.given)
	w.strs("prefix", "Dr.")
	w.end()
	w.endArr()
	if p.female {
		w.str("gender", "female")
	} else {
		w.str("gender", "male")
	}
	d.e.finish(Practitioner)

	w = d.begin(PractitionerRole, p.roleID, usCore+"practitionerrole")
	w.boolean("active", true)
	w.ref("practitioner", Practitioner, p.id, "")
	w.ref("organization", Organization, p.org.id, p.org.name)
	w.concepts("code", "", code{sysTaxonomy, p.specialty.taxonomy, p.specialty.name})
	w.concepts("specialty", "", code{sysTaxonomy, p.specialty.taxonomy, p.specialty.name})
	w.arr("location")
	w.ref("", Location, p.org.locationID, "")
	w.endArr()
	w.arr("telecom")
	w.telecom("phone", m.metro.area+"-555-"+p.npi[6:], "work")
	w.endArr()
	d.e.finish(PractitionerRole)
}

// ndc is in the 5-4-2 form, with the unassigned labeler 99999.
func (m *medication) ndc() string { return "99999-" + m.product + "-01" }
