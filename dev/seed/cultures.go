package seed

import "strings"

// culture is a pool of names that are used together, so that most households sound plausible and diacritics, compounds,
// hyphens and apostrophes turn up about as often as a US payer meets them. The lists are ordered: draws lean to the front.
type culture struct {
	weight                 int // out of totalCultureWeight
	surnames, female, male []string
	doubleSurname          bool // children carry both parents' surnames
	rare                   int  // of a thousand surnames, how many are made of surnameHeads and surnameTails
}

// What rare surnames of English origin are made of.
var (
	surnameHeads = names("Ald,Arm,Ash,Ather,Bal,Ben,Black,Bram,Brock,Buck,Burl,Cal,Carl,Chal,Clay,Cliff,Cole,Cran,Cul,Dal,Den,Dun,East,Ed,El,Ever,Fair,Fal,Far,Fen,Gal,Gar,Gil,Glad,Gold,Gran,Hal," +
		"Ham,Har,Hart,Hath,Haw,Heath,Hol,Hor,Hunt,Kel,Ken,Kings,Kirk,Lam,Lang,Lea,Lin,Lock,Mal,Mar,Mel,Mid,Mil,Mor,Nor,Nut,Oak,Or,Os,Pem,Pick,Pres,Pur,Rad,Rath,Red,Rock,Ros,Sed,Shel,Sher,Skel," +
		"Som,Staf,Stan,Stock,Strad,Sut,Tar,Thorn,Til,Tun,Up,Wake,Wal,Ware,Wat,Wel,Wes,Whit,Wil,Win,Wood,Wor,Wyn,Yar")
	surnameTails = names("bank,bert,berry,bourne,bridge,brook,bury,by,combe,cott,cox,croft,dale,den,dyke,er,feld,field,ford,gate,ger,greave,grove,ham,head,hold,house,hurst,ing,ington,kin,land,leigh," +
		"ley,lock,low,man,mere,mond,more,mouth,nell,over,pole,ridge,ris,rick,sey,shaw,side,sley,son,stead,stock,stone,ston,thorpe,ton,tree,vale,ville,wall,ward,water,way,well,wick,win,wood,worth,yard")
)

func names(list string) []string { return strings.Split(list, ",") }

var cultures = []culture{
	{
		weight: 44, rare: 650,
		surnames: names("Smith,Johnson,Williams,Brown,Jones,Miller,Davis,Wilson,Anderson,Taylor,Moore,Martin,Thompson,White,Harris,Clark,Lewis,Robinson,Walker,Young,Allen,King,Wright,Scott,Hill," +
			"Green,Adams,Baker,Nelson,Hall,Campbell,Mitchell,Carter,Roberts,Phillips,Evans,Turner,Parker,Collins,Edwards,Stewart,Morris,Rogers,Reed,Cook,Bell,Cooper,Richardson,Cox,Ward," +
			"Peterson,Gray,James,Watson,Brooks,Kelly,Sanders,Price,Bennett,Wood,Barnes,Ross,Henderson,Coleman,Jenkins,Perry,Powell,Long,Patterson,Hughes,Butler,Simmons,Foster,Bryant," +
			"Alexander,Russell,Griffin,Hayes,Myers,Ford,Hamilton,Graham,Sullivan,Wallace,Woods,Cole,West,Owens,Reynolds,Fisher,Ellis,Harrison,Gibson,McDonald,Marshall,Wells,Simpson," +
			"Stevens,Tucker,Porter,Hunter,Hicks,Crawford,Mason,Boyd,Kennedy,Warren,Dixon,Burns,Gordon,Shaw,Holmes,Rice,Hunt,Black,Palmer,Wagner,Mills,Nichols,Grant,Knight,Ferguson," +
			"Rose,Stone,Hawkins,Dunn,Perkins,Hudson,Spencer,Gardner,Payne,Pierce,Berry,Matthews,Arnold,Willis,Ray,Watkins,Olson,Carroll,Duncan,Snyder,Hart,Cunningham,Bradley,Lane," +
			"O'Brien,O'Connor,McCarthy,McKenzie,FitzGerald,MacDonald,O'Neill,St. John,Smith-Jones,Lloyd-Davies"),
		female: names("Mary,Patricia,Jennifer,Linda,Elizabeth,Barbara,Susan,Jessica,Sarah,Karen,Lisa,Nancy,Betty,Sandra,Margaret,Ashley,Kimberly,Emily,Donna,Michelle,Carol,Amanda,Melissa,Deborah," +
			"Stephanie,Rebecca,Laura,Sharon,Cynthia,Kathleen,Amy,Shirley,Angela,Anna,Ruth,Brenda,Pamela,Nicole,Katherine,Samantha,Christine,Catherine,Virginia,Debra,Rachel,Janet,Emma," +
			"Carolyn,Maria,Heather,Diane,Julie,Joyce,Evelyn,Victoria,Kelly,Christina,Joan,Lauren,Frances,Martha,Judith,Cheryl,Megan,Andrea,Olivia,Ann,Jean,Alice,Jacqueline,Hannah,Doris," +
			"Kathryn,Gloria,Teresa,Sara,Janice,Marie,Julia,Grace,Judy,Abigail,Denise,Amber,Marilyn,Beverly,Danielle,Brittany,Diana,Jane,Lori,Mary Ann,Alexis,Kayla,Natalie,Anne-Marie," +
			"Chloë,Zoë,Renée,Mary Beth,Ella,Ava,Charlotte,Amelia,Harper,Mia,Sophia,Isabella,Hazel,Violet,Nora,Lily,Zoey,Penelope,Riley,Aubrey,Stella,Peyton,Paisley,Skylar,Savannah," +
			"Leah,Audrey,Claire,Bella,Lucy,Caroline,Genesis,Kennedy,Madelyn,Allison,Gabrielle,Brooke,Paige,Jordan,Taylor,Morgan,Sydney,Jill,Tracy,Tina,Wendy,Dawn,Robin,Peggy,Connie,Sally"),
		male: names("James,Robert,John,Michael,David,William,Richard,Joseph,Thomas,Christopher,Charles,Daniel,Matthew,Anthony,Mark,Donald,Steven,Andrew,Paul,Joshua,Kenneth,Kevin,Brian,Timothy,Ronald," +
			"George,Jason,Edward,Jeffrey,Ryan,Jacob,Nicholas,Gary,Eric,Jonathan,Stephen,Larry,Justin,Scott,Brandon,Benjamin,Samuel,Gregory,Alexander,Patrick,Frank,Raymond,Jack,Dennis," +
			"Jerry,Tyler,Aaron,Henry,Adam,Douglas,Nathan,Peter,Zachary,Kyle,Walter,Harold,Jeremy,Ethan,Carl,Keith,Roger,Gerald,Christian,Terry,Sean,Arthur,Austin,Noah,Lawrence,Jesse," +
			"Joe,Bryan,Billy,Jordan,Albert,Dylan,Bruce,Willie,Gabriel,Alan,Juan,Logan,Wayne,Ralph,Roy,Eugene,Randy,Vincent,Russell,Louis,Philip,Bobby,Johnny,Bradley,Jean-Paul,Mason," +
			"Liam,Oliver,Elijah,Lucas,Levi,Sebastian,Owen,Theodore,Aiden,Wyatt,Hudson,Grayson,Leo,Lincoln,Caleb,Isaac,Hunter,Connor,Cameron,Landon,Colton,Jaxon,Cooper,Parker,Chase," +
			"Carson,Cole,Blake,Derek,Dale,Glenn,Leonard,Stanley,Clarence,Howard,Warren,Curtis,Norman,Marvin,Melvin,Earl,Leroy,Clifford,Herbert,Frederick,Edwin,Don,Shawn,Travis,Craig,Todd"),
	},
	{
		weight: 19, doubleSurname: true,
		surnames: names("Garcia,Rodriguez,Martinez,Hernandez,Lopez,Gonzalez,Perez,Sanchez,Ramirez,Torres,Flores,Rivera,Gomez,Diaz,Cruz,Reyes,Morales,Gutierrez,Ortiz,Ramos,Chavez,Ruiz,Alvarez,Castillo," +
			"Jimenez,Mendoza,Vasquez,Romero,Herrera,Medina,Aguilar,Vargas,Guzman,Mendez,Munoz,Salazar,Garza,Soto,Vega,Delgado,Peña,Muñoz,Núñez,Ibáñez,Pérez,García,Hernández,González," +
			"Rodríguez,de la Cruz,De León,del Río,Delos Santos,Ávila,Zúñiga,Acuña,Cárdenas,Cervantes,Valdez,Espinoza,Lozano,Cabrera,Maldonado,Fuentes,Santiago,Quiñones,Colón,Cortés"),
		female: names("María,Guadalupe,Sofía,Ana,Carmen,Isabel,Gabriela,Alejandra,Valentina,Camila,Daniela,Lucía,Mariana,Fernanda,Rosa,Juana,Ximena,Elena,Adriana,Verónica,Mónica,Leticia,Yolanda," +
			"Esperanza,Dolores,Pilar,Beatriz,Catalina,Marisol,Inés,Belén,Consuelo,Graciela,Lourdes,Mercedes,Paloma,Rocío,Soledad,Yesenia,María José,María Fernanda,Ana Sofía,Noemí,Araceli," +
			"Itzel,Renata,Regina,Jimena,Josefina,Maribel,Silvia,Norma,Irma,Blanca,Luz,Alma,Perla,Socorro"),
		male: names("José,Juan,Luis,Carlos,Jesús,Miguel,Jorge,Francisco,Alejandro,Antonio,Manuel,Ricardo,Fernando,Roberto,Javier,Eduardo,Rafael,Pedro,Raúl,Sergio,Andrés,Diego,Santiago,Mateo,Emiliano," +
			"Ángel,Ramón,Héctor,Óscar,Iván,Joaquín,Salvador,Ignacio,Guillermo,Gerardo,Arturo,Alfredo,Enrique,Felipe,Gustavo,Hugo,Ismael,Julio,Leonardo,Lorenzo,Marcos,Martín,Nicolás,Pablo," +
			"Rubén,Tomás,Víctor,José Luis,Juan Carlos,Luis Miguel,Efraín,Ezequiel,Esteban"),
	},
	{
		weight: 12, rare: 350,
		surnames: names("Washington,Jefferson,Jackson,Booker,Banks,Joseph,Freeman,Charles,Dorsey,Bolden,Gaines,Singleton,Hinton,Pettway,Mosley,Roberson,Mayfield,Battle,Toussaint,Baptiste,Okafor,Adeyemi,Okonkwo," +
			"Mensah,Owusu,Diallo,Abebe,Tesfaye,Kamau,Odhiambo,Ndiaye,Traoré,Koné,N'Diaye,Haile,Desta,Nwosu,Eze,Bello,Boateng,Jean-Baptiste,Saint-Louis"),
		female: names("Aaliyah,Imani,Latoya,Keisha,Tamika,Ebony,Jasmine,Tiana,Precious,Kiara,Destiny,Raven,Nia,Zuri,Amara,Ngozi,Chiamaka,Adaeze,Folake,Abena,Akosua,Fatoumata,Aminata,Selam,Hiwot,Wanjiru," +
			"Shanice,De'Ja,La'Tasha,Ta'Niyah,Monique,Yolonda,Simone,Angelique,Naomi,Makayla,Serenity,Trinity,Journee,Nevaeh,Essence,Shaniqua,Lakeisha,Zainab,Halima"),
		male: names("Jamal,Tyrone,DeShawn,Darnell,Terrell,Malik,Marquis,Andre,Jermaine,Reginald,Cedric,Kwame,Kofi,Chukwuemeka,Emeka,Obinna,Tunde,Babajide,Amadou,Mamadou,Dawit,Yonas,Kamari,Xavier,Elijah,Isaiah," +
			"D'Angelo,De'Andre,Da'Quan,Ja'Marcus,Tremaine,Lamar,Quincy,Rashad,Demetrius,Jalen,Kendrick,Desmond,Maurice,Roosevelt,Cornelius,Ousmane,Ibrahima,Segun,Chidi"),
	},
	{
		weight: 9,
		surnames: names("Nguyen,Tran,Le,Pham,Huynh,Chen,Wang,Li,Zhang,Liu,Lin,Wu,Huang,Yang,Zhao,Kim,Lee,Park,Choi,Jung,Kang,Cho,Yamamoto,Tanaka,Sato,Suzuki,Nakamura,Watanabe,Wong,Chan,Cheung,Lam,Ng,Ho,Vu,Dang,Bui," +
			"Do,Ngô,Trần,Lý,Xiong,Vang,Thao,Moua,Saetang,Sok,Chea,Ou-Yang,Santos,Bautista,Villanueva,Pangilinan,Dimaculangan"),
		female: names("Mai,Linh,Thu,Hương,Lan,Phương,Thảo,Ngọc,Wei,Xiu,Mei,Mei-Ling,Li Na,Yan,Jing,Xiaoyu,Min-ji,Soo-jin,Ji-woo,Eun-ji,Hana,Yuki,Sakura,Aiko,Keiko,Naomi,Yumi,Akiko,Michiko,Grace,Vivian,Jenny,Tiffany," +
			"Pa Houa,Mai See,Kalia,Sopheap,Bopha,Maricel,Rosalinda,Cherry,Liezl,Analyn"),
		male: names("Minh,Tuấn,Hùng,Dũng,Quang,Khoa,Bảo,Long,Wei,Jun,Ming,Jian,Hao,Zhiwei,Xiang,Kai,Min-jun,Ji-hoon,Sung-min,Hyun-woo,Dong-hyun,Kenji,Hiroshi,Takeshi,Satoshi,Daiki,Ryo,Haruto,Kevin,Vincent,Jason,Henry," +
			"Tou,Pao,Xeng,Sokha,Vibol,Rommel,Jomar,Reynaldo,Crisanto,Jun-ho,Tien"),
	},
	{
		weight: 7,
		surnames: names("Patel,Singh,Shah,Kumar,Sharma,Gupta,Khan,Reddy,Desai,Mehta,Rao,Iyer,Nair,Chowdhury,Das,Banerjee,Kaur,Gill,Ahmed,Ali,Hussain,Malik,Qureshi,Siddiqui,Rahman,Haddad,Khoury,Nasser,Al-Farsi,Al-Sayed," +
			"El-Amin,Abdullah,Aziz,Mansour,Hosseini,Tehrani,Rezaei,Ben-David,Bar-Lev,Özdemir,Yılmaz,Kaya"),
		female: names("Priya,Anjali,Lakshmi,Divya,Sunita,Kavita,Pooja,Neha,Shreya,Ananya,Aisha,Fatima,Maryam,Zainab,Noor,Layla,Amina,Yasmin,Samira,Nadia,Hana,Rania,Farah,Shirin,Parisa,Leila,Simran,Harpreet,Gurpreet,Meera," +
			"Deepa,Radha,Usha,Asha,Rukhsana,Shabnam,Elif,Zeynep,Ayşe,Noa,Talia,Shira"),
		male: names("Raj,Amit,Sanjay,Vijay,Rahul,Arjun,Rohan,Anil,Sunil,Deepak,Mohammed,Ahmed,Ali,Omar,Hassan,Hussein,Yusuf,Ibrahim,Khalid,Tariq,Bilal,Karim,Samir,Reza,Dariush,Kaveh,Harjit,Gurdeep,Manpreet,Ravi,Suresh," +
			"Ramesh,Krishna,Vikram,Imran,Faisal,Abdul-Rahman,Mehmet,Emre,Çağlar,Ari,Eitan"),
	},
	{
		weight: 9,
		surnames: names("Schmidt,Müller,Schneider,Weber,Becker,Hoffmann,Schröder,Krueger,Rossi,Russo,Esposito,Ferrari,Romano,D'Angelo,D'Amico,DeLuca,Di Giovanni,Kowalski,Nowak,Wiśniewski,Zieliński,Kovács,Novák,Dvořák,Horvat," +
			"Petrov,Ivanov,Volkov,Sokolova,Shevchenko,Bondarenko,Johansson,Lindström,Bjørnsen,Sørensen,Håkansson,Van der Berg,van Dijk,Vandenberg,Dubois,Lefèvre,Beauchamp,LeBlanc,Thibodeaux,Fontenot,Papadopoulos,Stavros,Goldberg," +
			"Cohen,Rosenthal,Katz,Levy,Friedman,Silva,Ferreira,Araújo,Gonçalves,Conceição"),
		female: names("Giulia,Francesca,Lucia,Chiara,Ingrid,Astrid,Solveig,Freya,Greta,Heidi,Ursula,Liesel,Anneliese,Katarzyna,Agnieszka,Małgorzata,Zofia,Ewa,Natasha,Svetlana,Oksana,Olga,Irina,Tatiana,Élise,Geneviève,Thérèse,Hélène," +
			"Noémie,Colette,Eleni,Despina,Rivka,Esther,Miriam,Shoshana,Beatriz,Luísa,Björk,Siobhán,Niamh,Aoife,Maeve,Saoirse"),
		male: names("Giovanni,Marco,Antonio,Luca,Dante,Vito,Klaus,Günter,Jürgen,Hans,Dieter,Wolfgang,Piotr,Paweł,Stanisław,Krzysztof,Jan,Dmitri,Sergei,Vladimir,Oleksandr,Mykola,Bogdan,Lars,Bjørn,Søren,Anders,Nils,Gunnar,André,Étienne," +
			"François,René,Thibault,Nikos,Yiannis,Avi,Moshe,Shlomo,João,Seán,Ciarán,Declan,Eoin"),
	},
}

const totalCultureWeight = 100

// nicknames maps a given name to the short form people give a new insurer.
var nicknames = map[string]string{
	"William": "Bill", "Robert": "Bob", "James": "Jim", "John": "Jack", "Michael": "Mike", "David": "Dave", "Richard": "Rick", "Joseph": "Joe",
	"Thomas": "Tom", "Christopher": "Chris", "Charles": "Chuck", "Daniel": "Dan", "Matthew": "Matt", "Anthony": "Tony", "Donald": "Don",
	"Steven": "Steve", "Andrew": "Drew", "Joshua": "Josh", "Kenneth": "Ken", "Timothy": "Tim", "Ronald": "Ron", "Edward": "Ted",
	"Jeffrey": "Jeff", "Jacob": "Jake", "Nicholas": "Nick", "Jonathan": "Jon", "Stephen": "Steve", "Benjamin": "Ben", "Samuel": "Sam",
	"Gregory": "Greg", "Alexander": "Alex", "Patrick": "Pat", "Raymond": "Ray", "Nathan": "Nate", "Zachary": "Zach", "Lawrence": "Larry",
	"Theodore": "Ted", "Frederick": "Fred", "Leonard": "Len", "Eugene": "Gene", "Vincent": "Vince", "Philip": "Phil", "Douglas": "Doug",
	"Gerald": "Jerry", "Arthur": "Art", "Albert": "Al", "Bradley": "Brad", "Gabriel": "Gabe", "Elizabeth": "Liz", "Patricia": "Patty",
	"Jennifer": "Jen", "Barbara": "Barb", "Susan": "Sue", "Jessica": "Jess", "Margaret": "Peggy", "Kimberly": "Kim", "Deborah": "Debbie",
	"Stephanie": "Steph", "Rebecca": "Becky", "Kathleen": "Kathy", "Katherine": "Kate", "Catherine": "Cathy", "Christine": "Chris",
	"Christina": "Tina", "Samantha": "Sam", "Virginia": "Ginny", "Victoria": "Vicky", "Judith": "Judy", "Abigail": "Abby", "Amanda": "Mandy",
	"Melissa": "Missy", "Pamela": "Pam", "Cynthia": "Cindy", "Jacqueline": "Jackie", "Kathryn": "Katie", "Teresa": "Terri", "Danielle": "Dani",
	"Charlotte": "Lottie", "Penelope": "Penny", "Caroline": "Carrie", "Madelyn": "Maddie", "Guadalupe": "Lupe", "Francisco": "Paco",
	"José": "Pepe", "Alejandro": "Alex", "Eduardo": "Lalo", "Guillermo": "Memo", "Ignacio": "Nacho", "Jesús": "Chuy", "Isabel": "Chabela",
	"Gabriela": "Gaby", "Dolores": "Lola", "Reginald": "Reggie", "Maurice": "Moe", "Demetrius": "Meech", "Mohammed": "Mo", "Sanjay": "Jay",
}
