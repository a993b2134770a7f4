package match

import (
	"strings"
	"testing"

	"github.com/google/uuid"
	"github.com/stretchr/testify/require"

	"pdexbulk/models"
)

// rows makes the candidate rows of a member as an import and a look-up by probe would.
func rows(id byte, member, probe Person) []Candidate {
	values := map[string]bool{}
	for _, v := range probe.Values() {
		values[v] = true
	}
	var cards []ID
	for _, card := range member.IDs {
		if values[card.Value] {
			cards = append(cards, card)
		}
	}
	var out []Candidate
	for _, row := range member.Rows() {
		out = append(out, Candidate{Member: uuid.UUID{id}, Family: row.Family, Given: row.Given, BirthDate: member.BirthDate, Gender: member.Gender, Cards: cards})
	}
	return out
}

// pat makes a person: family, given names, gender, identifiers.
func pat(family, given, gender string, ids ...ID) Person {
	words, suffix := Given([]string{given})
	p := Person{Families: []string{Name(family)}, Suffix: suffix, BirthDate: new(int32(1819)), Gender: gender, IDs: ids}
	p.Givens = appendNew(nil, strings.Join(words, " "))
	p.sortIDs()
	return p
}

func (p Person) born(d int32) Person {
	p.BirthDate = &d
	return p
}

func (p Person) also(family string) Person {
	p.Families = append([]string{family}, p.Families...)
	return p
}

func TestDecide(t *testing.T) {
	t.Parallel()
	var (
		family  = ID{models.CardSubscriber, "W1234567"}
		member1 = ID{models.CardMemberID, "W123456701"}
		member2 = ID{models.CardMemberID, "W123456702"}
		mbi     = ID{models.CardMBI, "1EG4TE5MK73"}
		social  = ID{models.CardSSN, "219456789"}
		other   = ID{models.CardOther, "K4711"}
	)
	for name, tc := range map[string]struct {
		probe  Person
		roster []Person
		want   Reason
		member byte // the index in roster + 1, 0 for none
	}{
		"subscriber number and names": {pat("Smith", "Mary Ann", "female", family), []Person{pat("Smith", "Mary", "female", family)}, ReasonMatched, 1},
		"member id":                   {pat("Smith", "Mary", "female", member1), []Person{pat("Smith", "Mary", "female", member1, family)}, ReasonMatched, 1},
		"member id in the other slot": {pat("Smith", "Mary", "", ID{models.CardSubscriber, "W123456701"}), []Person{pat("Smith", "Mary", "", member1)}, ReasonMatched, 1},
		"identifier of unknown kind":  {pat("Smith", "Mary", "", other), []Person{pat("Smith", "Mary", "", other)}, ReasonMatched, 1},
		"nobody there":                {pat("Smith", "Mary", "female", family), nil, ReasonNoCandidate, 0},
		"former family name":          {pat("Jones", "Mary", "female", family).also("smith"), []Person{pat("Smith", "Mary", "female", family)}, ReasonMatched, 1},
		"former name on our side":     {pat("Jones", "Mary", "female", family), []Person{pat("Jones", "Mary", "female", family).also("smith")}, ReasonMatched, 1},
		"another family name":         {pat("Jones", "Mary", "female", member1), []Person{pat("Smith", "Mary", "female", member1)}, ReasonFamily, 0},
		"another birth date":          {pat("Smith", "Mary", "female", member1).born(1), []Person{pat("Smith", "Mary", "female", member1)}, ReasonBirthDate, 0},
		"our birth date not known": {
			pat("Smith", "Mary", "female", member1),
			[]Person{{Families: []string{"smith"}, Givens: []string{"mary"}, IDs: []ID{member1}}},
			ReasonBirthDate, 0,
		},
		"birth date not submitted": {Person{Families: []string{"smith"}, Givens: []string{"mary"}, IDs: []ID{member1}}, []Person{pat("Smith", "Mary", "", member1)}, ReasonIncomplete, 0},
		"no family name":           {Person{Givens: []string{"mary"}, BirthDate: new(int32(1819)), IDs: []ID{member1}}, []Person{pat("Smith", "Mary", "", member1)}, ReasonIncomplete, 0},
		"gender differs":           {pat("Smith", "Robin", "male", family), []Person{pat("Smith", "Robin", "female", family)}, ReasonGender, 0},
		"gender unknown":           {pat("Smith", "Robin", "", family), []Person{pat("Smith", "Robin", "female", family)}, ReasonMatched, 1},
		"gender other":             {pat("Smith", "Robin", "other", family), []Person{pat("Smith", "Robin", "female", family)}, ReasonMatched, 1},
		"another identifier":       {pat("Smith", "Mary", "female", member2), []Person{pat("Smith", "Mary", "female", member1, family)}, ReasonIdentifier, 0},
		"social security number that is somebody's member id": {
			pat("Smith", "Mary", "female", social), []Person{pat("Smith", "Mary", "female", ID{models.CardMemberID, social.Value})}, ReasonIdentifier, 0,
		},

		"held under two kinds":     {pat("Smith", "Ann", "female", member1), []Person{pat("Smith", "Mary Ann", "female", member1, ID{models.CardOther, member1.Value})}, ReasonMatched, 1},
		"kind that does not exist": {pat("Smith", "Mary", "female", ID{99, "W1234567"}), []Person{pat("Smith", "Mary", "female", family)}, ReasonIdentifier, 0},

		"spouse on the same number":        {pat("Smith", "John", "male", family), []Person{pat("Smith", "Mary", "female", family), pat("Smith", "John", "male", family)}, ReasonMatched, 2},
		"spouse, true member absent":       {pat("Smith", "John", "male", family), []Person{pat("Smith", "Mary", "female", family)}, ReasonGender, 0},
		"spouses of one gender, absent":    {pat("Smith", "Mary", "female", family), []Person{pat("Smith", "Jane", "female", family)}, ReasonGiven, 0},
		"spouse without a gender":          {pat("Smith", "John", "", family), []Person{pat("Smith", "Mary", "female", family)}, ReasonGiven, 0},
		"twins":                            {pat("Smith", "Ann", "female", family), []Person{pat("Smith", "Ann", "female", family), pat("Smith", "Eve", "female", family)}, ReasonMatched, 1},
		"twin not enrolled":                {pat("Smith", "Ann", "female", family), []Person{pat("Smith", "Eve", "female", family)}, ReasonGiven, 0},
		"twin, family's number as member":  {pat("Smith", "Ann", "female", member1), []Person{pat("Smith", "Eve", "female", member1)}, ReasonGiven, 0},
		"twin with the same middle name":   {pat("Smith", "Ann Marie", "female", family), []Person{pat("Smith", "Eve Marie", "female", family)}, ReasonGiven, 0},
		"twins with the same first name":   {pat("Ruiz", "Juan Pablo", "male", family), []Person{pat("Ruiz", "Juan Carlos", "male", family)}, ReasonGivenWeak, 0},
		"both of them":                     {pat("Ruiz", "Juan Pablo", "male", family), []Person{pat("Ruiz", "Juan Carlos", "male", family), pat("Ruiz", "Juan Pablo", "male", family)}, ReasonMatched, 2},
		"either of them":                   {pat("Ruiz", "Juan", "male", family), []Person{pat("Ruiz", "Juan Carlos", "male", family), pat("Ruiz", "Juan Pablo", "male", family)}, ReasonSeveral, 0},
		"twin by member id":                {pat("Ruiz", "Juan", "male", member2), []Person{pat("Ruiz", "Juan Carlos", "male", member1, family), pat("Ruiz", "Juan Pablo", "male", member2, family)}, ReasonMatched, 2},
		"member id both twins have":        {pat("Ruiz", "Juan Pablo", "male", member1), []Person{pat("Ruiz", "Juan Carlos", "male", member1), pat("Ruiz", "Jose", "male", member1)}, ReasonGivenWeak, 0},
		"member id that is the family's":   {pat("Smith", "Ann", "female", member1), []Person{pat("Smith", "Mary Ann", "female", member1, ID{models.CardSubscriber, member1.Value})}, ReasonGivenWeak, 0},
		"or is it where it comes from":     {pat("Smith", "Ann", "female", member1, ID{models.CardSubscriber, member1.Value}), []Person{pat("Smith", "Mary Ann", "female", member1)}, ReasonGivenWeak, 0},
		"middle name differs, own number":  {pat("Smith", "Mary Jones", "female", member1), []Person{pat("Smith", "Mary Ann", "female", member1)}, ReasonMatched, 1},
		"by the middle name, own number":   {pat("Smith", "Ann", "female", member1), []Person{pat("Smith", "Mary Ann", "female", member1)}, ReasonMatched, 1},
		"by the middle name, family's":     {pat("Smith", "Ann", "female", family), []Person{pat("Smith", "Mary Ann", "female", family)}, ReasonGivenWeak, 0},
		"given names that contradict, mbi": {pat("Smith", "Ann", "female", mbi), []Person{pat("Smith", "Eve", "female", mbi)}, ReasonGiven, 0},

		"newborn, family's number":        {pat("Smith", "Baby Girl", "female", family), []Person{pat("Smith", "Ann", "female", family)}, ReasonGivenWeak, 0},
		"newborn, own member id":          {pat("Smith", "Baby Girl", "female", member1), []Person{pat("Smith", "Ann", "female", member1)}, ReasonGivenWeak, 0},
		"newborn, social security number": {pat("Smith", "Baby Girl", "female", social), []Person{pat("Smith", "Ann", "female", social)}, ReasonMatched, 1},
		"newborn still on our side":       {pat("Smith", "Ann", "female", family), []Person{pat("Smith", "Babygirl A", "female", family)}, ReasonGivenWeak, 0},
		"two newborns":                    {pat("Smith", "Baby Girl A", "female", family), []Person{pat("Smith", "Baby Girl A", "female", family)}, ReasonGivenWeak, 0},
		"no given name, mbi":              {pat("Smith", "", "female", mbi), []Person{pat("Smith", "Ann", "female", mbi)}, ReasonMatched, 1},
		"no given name, mbi of several":   {pat("Smith", "", "female", mbi), []Person{pat("Smith", "Ann", "female", mbi), pat("Jones", "Eve", "female", mbi)}, ReasonGivenWeak, 0},

		"father and son":          {pat("Smith", "John Jr.", "male", family), []Person{pat("Smith", "John Sr.", "male", family)}, ReasonSuffix, 0},
		"second and third":        {pat("Smith", "John II", "male", family), []Person{pat("Smith", "John III", "male", family)}, ReasonSuffix, 0},
		"Jr. is II":               {pat("Smith", "John II", "male", family), []Person{pat("Smith", "John Jr", "male", family)}, ReasonMatched, 1},
		"suffix on one side":      {pat("Smith", "John", "male", family), []Person{pat("Smith", "John Jr", "male", family)}, ReasonMatched, 1},
		"suffix of several names": {pat("Jones", "John Jr", "male", family), []Person{pat("Jones", "John III", "male", family).also("smith")}, ReasonSuffix, 0},

		"no identifier":              {pat("Smith", "Mary", "female"), []Person{pat("Smith", "Mary", "female", family)}, ReasonMatched, 1},
		"no identifier, two of them": {pat("Smith", "Mary", "female"), []Person{pat("Smith", "Mary", "female"), pat("Smith", "Mary", "female")}, ReasonSeveral, 0},
		"no identifier, no gender":   {pat("Smith", "Mary", ""), []Person{pat("Smith", "Mary", "female")}, ReasonDemographics, 0},
		"no identifier, ours none":   {pat("Smith", "Mary", "female"), []Person{pat("Smith", "Mary", "")}, ReasonDemographics, 0},
		"no identifier, no given":    {pat("Smith", "", "female"), []Person{pat("Smith", "Mary", "female")}, ReasonDemographics, 0},
		"no identifier, middle name": {pat("Smith", "Mary Lee", "female"), []Person{pat("Smith", "Mary Ann", "female")}, ReasonDemographics, 0},

		"seeded twice":              {pat("Smith", "Mary", "female", family), []Person{pat("Smith", "Mary", "female", family), pat("Smith", "Mary", "female", family)}, ReasonSeveral, 0},
		"namesake without the card": {pat("Smith", "Mary", "female", family), []Person{pat("Smith", "Mary", "female"), pat("Smith", "Mary", "female", family)}, ReasonMatched, 2},
		"the one who got furthest":  {pat("Smith", "Mary", "female", family), []Person{pat("Jones", "Mary", "female", family), pat("Smith", "Eve", "female", family), pat("Smith", "Mary", "male", family)}, ReasonGiven, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var candidates []Candidate
			for i, member := range tc.roster {
				candidates = append(candidates, rows(byte(i+1), member, tc.probe)...)
			}
			got := Decide(tc.probe, candidates)
			require.Equal(t, Decision{Member: uuid.UUID{tc.member}, Matched: tc.member != 0, Reason: tc.want}, got)
		})
	}
}
