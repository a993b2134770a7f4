package release

import "pdexbulk/models"

// Audience is what the one who gets a member's data may see of it.
type Audience struct {
	// Financial: claims with their amounts (a provider with a value-based contract; never another payer).
	Financial bool
	// Sensitive: what is sensitive, too.
	Sensitive bool
	// Drugs: prior authorisations for drugs, too.
	Drugs bool
}

// Fate is what becomes of a segment.
type Fate uint8

// The fates.
const (
	Withhold Fate = iota // a rule keeps it back
	Leave                // it may leave, if it is not too old
	StandIn              // another form of its resources has its turn; it counts for nothing
)

// Fate says what becomes of lines of a class. Of the forms of a resource all but one stand in for nothing: with
// Leave and Withhold alone each resource is counted once.
func (a Audience) Fate(c models.Class) Fate {
	switch {
	case c&models.ClassUnruled != 0:
		return Withhold
	case c&a.others() != 0:
		return StandIn
	case c&a.Without() != 0:
		return Withhold
	}
	return Leave
}

// others are the bits of forms that are not for this audience.
func (a Audience) others() models.Class {
	others := models.ClassFull
	if a.Financial {
		others = models.ClassBasis
	}
	if a.Sensitive {
		return others | models.ClassMasked
	}
	return others | models.ClassLinked
}

// Without returns the bits of which a class that leaves has none.
func (a Audience) Without() models.Class {
	without := a.others() | models.ClassUnruled
	if !a.Sensitive {
		without |= models.ClassSensitive
	}
	if !a.Drugs {
		without |= models.ClassDrug
	}
	return without
}
