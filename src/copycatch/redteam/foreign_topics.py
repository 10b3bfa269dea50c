"""What people write elsewhere: the foreign sentences of an attacker who holds no shop's traffic.

Written for this project; typed out by the same hands (grammar.type_out) as the shop's.
"""

SLOTS: dict[str, tuple[str, ...]] = {
    "food": (
        "pasta",
        "lentil soup",
        "a chocolate cake",
        "fried rice",
        "pancakes",
        "a roast chicken",
        "pumpkin stew",
        "dumplings",
        "sourdough",
    ),
    "spice": ("garlic", "basil", "cumin", "ginger", "butter", "lemon juice", "chilli", "vanilla"),
    "city": ("lisbon", "osaka", "nairobi", "quito", "reykjavik", "hanoi", "tallinn", "montreal", "cape town"),
    "room": ("kitchen", "bedroom", "garage", "hallway", "living room", "basement"),
    "device": ("lights", "heating", "blinds", "speaker", "vacuum robot", "alarm", "television"),
    "sport": ("football", "tennis", "rowing", "chess", "handball", "marathon running", "judo", "cycling"),
    "lang": ("python", "rust", "javascript", "sql", "bash", "java", "haskell"),
    "thing": ("list", "dictionary", "string", "tree", "queue", "matrix", "file", "date"),
    "planet": ("mars", "venus", "jupiter", "the moon", "saturn", "a comet", "pluto"),
    "animal": ("cat", "puppy", "parrot", "horse", "hamster", "goldfish", "rabbit"),
    "body": ("knee", "shoulder", "back", "head", "ankle", "throat", "stomach"),
    "song": (
        "a jazz playlist",
        "the new album",
        "something calm",
        "rock from the eighties",
        "a lullaby",
        "piano music",
    ),
    "day": ("monday", "tuesday", "saturday", "the tenth", "next week", "tonight", "in two hours"),
    "subject": (
        "algebra",
        "history",
        "photosynthesis",
        "grammar",
        "the water cycle",
        "fractions",
        "the roman empire",
    ),
}

TEMPLATES: dict[str, tuple[str, ...]] = {
    "cooking": (
        "how long (do|should) i (boil|bake|fry) <food>",
        "what can i use instead of <spice> in <food>",
        "give me a recipe for <food>",
        "how much <spice> goes into <food> for four people",
        "my <food> turned out too (salty|dry|sweet), what now",
    ),
    "travel": (
        "what is there to see in <city>",
        "find me a flight to <city> on <day>",
        "is <city> (safe|expensive|warm) in (march|july|winter)",
        "do i need a visa for <city>",
        "book a hotel near the station in <city>",
    ),
    "weather": (
        "will it (rain|snow) in <city> on <day>",
        "how (hot|cold|windy) is it in <city>",
        "do i need an umbrella <day>",
        "forecast for <city>",
    ),
    "smart_home": (
        "turn (on|off) the <device> in the <room>",
        "set the <device> in the <room> to (low|high|fifty percent)",
        "is the <device> in the <room> still on",
        "dim the <device> at nine",
    ),
    "music": (
        "play <song> in the <room>",
        "who (sang|wrote) <song>",
        "skip this and play <song>",
        "add <song> to my list",
        "turn the volume (up|down)",
    ),
    "coding": (
        "how do i sort a <thing> in <lang>",
        "why does my <lang> code crash on an empty <thing>",
        "write a <lang> function that reverses a <thing>",
        "what is the difference between a <thing> and a <thing> in <lang>",
        "explain recursion over a <thing> in <lang>",
    ),
    "astronomy": (
        "how far (away|) is <planet>",
        "can i see <planet> <day> without a telescope",
        "how many moons does <planet> have",
        "what is the surface of <planet> made of",
    ),
    "pets": (
        "my <animal> does not eat since <day>",
        "how (often|much) should a <animal> sleep",
        "what is a good name for a <animal>",
        "can a <animal> eat <spice>",
    ),
    "health": (
        "my <body> hurts after <sport>",
        "what helps against a sore <body>",
        "should i see a doctor about my <body>",
        "exercises for a stiff <body>",
    ),
    "sports": (
        "who won the <sport> final",
        "what are the rules of <sport>",
        "when is the next <sport> match in <city>",
        "how do i get better at <sport>",
    ),
    "school": (
        "explain <subject> to a ten year old",
        "quiz me on <subject>",
        "write three questions about <subject>",
        "i have an exam in <subject> on <day>",
    ),
    "calendar": (
        "remind me to call (mum|the dentist|my boss) on <day>",
        "what is on my calendar <day>",
        "move the meeting from <day> to <day>",
        "set an alarm for <day>",
    ),
    "small_talk": (
        "how are you today",
        "tell me a joke about a <animal>",
        "what is your favourite <food>",
        "do you dream",
        "what makes you happy",
        "are you smarter than a <animal>",
    ),
    "gardening": (
        "when do i plant (tomatoes|tulips|garlic)",
        "my (roses|tomatoes|ferns) have yellow leaves",
        "how often do i water (a cactus|basil|the lawn)",
        "what grows well in the shade",
    ),
    "cars": (
        "my engine makes a (clicking|grinding) noise",
        "how do i change the oil",
        "what does the (yellow|red) light on the dashboard mean",
        "how many miles until the next service",
    ),
    "history": (
        "who built the old bridge in <city>",
        "when did the (war|plague|revolution) reach <city>",
        "what did people eat in <city> in the middle ages",
        "who was the first mayor of <city>",
    ),
    "jobs": (
        "write a letter for a job as a (nurse|driver|baker)",
        "how much does a (pilot|teacher|plumber) earn in <city>",
        "how do i ask for a raise",
        "what should i wear to an interview",
    ),
    "film": (
        "which film has a <animal> that talks",
        "recommend a film about <sport>",
        "who played in that film about <planet>",
        "is there a series set in <city>",
    ),
}

# Words for inputs that only know that the model reads words.
_WORDS = """
anchor amber acid arrow atlas bark basin beam blink bronze cactus candle canyon cedar chalk cinder
clay comet copper coral crater crisp dagger dawn delta drift dusk eagle ember fable falcon fern
flint fossil frost gable glacier granite gravel grove harbor hazel hinge hollow indigo iris ivory
jade jolt juniper kelp kernel lantern lattice lemon lilac lunar magnet maple marble meadow mint
mosaic moss nectar nickel nimbus oasis obsidian onyx opal orbit osprey oxide paddle pebble pepper
pilot pine plume prism quartz quill radar raven reef ripple rune saddle saffron sage sand satin
shale sierra silver slate sonnet spark spiral sprout summit swift tango teal thistle thunder timber
topaz torch tulip turbine umber valley velvet violet vortex walnut willow winter yarrow zenith
zephyr zinc
"""
WORDS = tuple(_WORDS.split())
