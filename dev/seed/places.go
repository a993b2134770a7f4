package seed

// metro is an area a market of members and providers lives in. Streets and house numbers are made up; towns, area codes
// and the first three digits of the ZIP codes belong together, as address checks expect.
type metro struct {
	state, area, zip3 string
	offset            int // hours from UTC, standard time
	towns             []string
}

var metros = []metro{
	{"OH", "614", "432", -5, names("Columbus,Dublin,Westerville,Hilliard")},
	{"CA", "213", "900", -8, names("Los Angeles,Inglewood,Torrance,Santa Monica")},
	{"TX", "713", "770", -6, names("Houston,Bellaire,Pasadena,Missouri City")},
	{"NY", "718", "112", -5, names("Brooklyn,Bay Ridge,Flatbush")},
	{"FL", "305", "331", -5, names("Miami,Hialeah,Coral Gables,Doral")},
	{"IL", "312", "606", -6, names("Chicago,Oak Park,Evanston")},
	{"PA", "215", "191", -5, names("Philadelphia,Elkins Park,Drexel Hill")},
	{"GA", "404", "303", -5, names("Atlanta,Decatur,Sandy Springs")},
	{"NC", "919", "276", -5, names("Raleigh,Cary,Garner")},
	{"MI", "313", "482", -5, names("Detroit,Dearborn,Hamtramck")},
	{"AZ", "602", "850", -7, names("Phoenix,Tempe,Glendale")},
	{"WA", "206", "981", -8, names("Seattle,Shoreline,Burien")},
	{"MA", "617", "021", -5, names("Boston,Quincy,Cambridge,Somerville")},
	{"MN", "612", "554", -6, names("Minneapolis,Richfield,St. Louis Park")},
	{"CO", "303", "802", -7, names("Denver,Lakewood,Aurora")},
	{"TN", "615", "372", -6, names("Nashville,Brentwood,Antioch")},
	{"MO", "314", "631", -6, names("St. Louis,Kirkwood,Florissant")},
	{"WI", "414", "532", -6, names("Milwaukee,Wauwatosa,West Allis")},
	{"OR", "503", "972", -8, names("Portland,Beaverton,Gresham")},
	{"LA", "504", "701", -6, names("New Orleans,Metairie,Kenner")},
	{"NM", "505", "871", -7, names("Albuquerque,Rio Rancho")},
	{"NV", "702", "891", -8, names("Las Vegas,Henderson,Paradise")},
	{"KY", "502", "402", -5, names("Louisville,Shively,St. Matthews")},
	{"OK", "405", "731", -6, names("Oklahoma City,Edmond,Moore")},
	{"UT", "801", "841", -7, names("Salt Lake City,Murray,West Valley City")},
	{"HI", "808", "968", -10, names("Honolulu,Kailua,Pearl City")},
	{"AK", "907", "995", -9, names("Anchorage,Eagle River")},
	{"ME", "207", "041", -5, names("Portland,South Portland,Westbrook")},
	{"SC", "843", "294", -5, names("Charleston,Mount Pleasant,Summerville")},
	{"VA", "804", "232", -5, names("Richmond,Glen Allen,Midlothian")},
	{"MD", "410", "212", -5, names("Baltimore,Towson,Catonsville")},
	{"NJ", "973", "071", -5, names("Newark,East Orange,Irvington")},
	{"IN", "317", "462", -5, names("Indianapolis,Carmel,Fishers")},
	{"AL", "205", "352", -6, names("Birmingham,Hoover,Bessemer")},
	{"NE", "402", "681", -6, names("Omaha,Papillion,Bellevue")},
	{"KS", "316", "672", -6, names("Wichita,Derby,Haysville")},
	{"ID", "208", "837", -7, names("Boise,Garden City,Eagle")},
	{"MT", "406", "591", -7, names("Billings,Lockwood")},
	{"PR", "787", "009", -4, names("San Juan,Bayamón,Carolina,Guaynabo")},
	{"CT", "203", "065", -5, names("New Haven,Hamden,West Haven")},
}

var streets = names("Maple,Oak,Cedar,Elm,Main,Park,Washington,Lake,Hill,Walnut,Spring,North,Ridge,Church,Willow,Mill,Sunset,Railroad,Jackson,Cherry,West,South,Center,Highland,Johnson,Forest,River,Meadow,East," +
	"Chestnut,Dogwood,Hickory,Jefferson,Lincoln,Franklin,Adams,Madison,Monroe,Birch,Spruce,Pine,Prospect,Valley,Locust,Poplar,Sycamore,Magnolia,Laurel,Grove,College,Orchard,Pleasant,Summit,Broad,Front," +
	"Union,Water,Academy,Canal,Colonial,Delaware,Evergreen,Fairview,Garden,Heather,Ivy,Juniper,Kensington,Lexington,Martin Luther King,Juan Tabó,O'Donnell,Santa Fe,El Camino,Old Post,Quail Hollow,Stone Creek," +
	"Turnberry,Vine,Windsor,York,Zion,Amherst,Bayview,Cambridge,Devon,Essex,First,Second,Third,Fourth,Fifth,Sixth,Tenth,Twelfth,Camelback,Rosewood,Cottonwood,Mesquite")

var streetTypes = names("St,Ave,Rd,Dr,Ln,Ct,Blvd,Way,Pl,Ter,Cir,Pkwy")

var employers = names("Manufacturing,Logistics,School District,Foods,Software,Construction,Hospitality,Transit,Credit Union,Farms,Textiles,Energy,Media,County Government,Retail Group,Steel,Paper,Aviation")

var mailHosts = names("example.com,example.org,example.net,mail.example.com,inbox.example.org")
