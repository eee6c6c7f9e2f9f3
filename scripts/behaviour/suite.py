"""The behavioural suite: what a reading must be for sentences that are written for it.

Each test has templates and words of its own. They are apart from those of the training (`scripts/train/contrast`), which `apart.py` checks. There
are three kinds of expectation:

    must        each sentence has an expected reading
    same        the sentences of a case differ only in what must not matter: the readings must be alike
    direction   the second sentence of a case must be read as at least as favourable (or unfavourable) as the first

No template is from a published suite.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "train"))
from contrast.grammar import fill  # noqa: E402

CASES = 220
# Sentences of a case whose readings must be alike.
SWAPS = 8
# Largest difference of the compound between readings that must be alike, and the tolerance of a direction.
ALIKE = 0.2
TOLERANCE = 0.05


@dataclass(frozen=True)
class Test:
    name: str
    kind: str
    templates: list
    # For `must`: whether the reading is as expected. For `direction`: +1 or -1, the way the compound must not leave.
    expect: Callable[[dict], bool] | int = 0
    words: dict[str, list[str]] = field(default_factory=dict)
    # For `same`: the slots that must not matter.
    swaps: tuple[str, ...] = ()
    # For `same`: changes of the text itself, each a function of text and chance.
    changes: tuple[Callable, ...] = ()


# Expectations, as functions of a reading in JSON.
def negative(r):
    return r["sentiment"]["label"] == "negative"


def positive(r):
    return r["sentiment"]["label"] == "positive"


def neutral(r):
    return r["sentiment"]["label"] == "neutral"


def not_negative(r):
    return not negative(r)


def not_positive(r):
    return not positive(r)


def no_hate(r):
    return (r.get("hate") or 0) < 0.5


def hate(r):
    return (r.get("hate") or 0) >= 0.5


def no_offence(r):
    return (r.get("offence") or 0) < 0.5


def offence(r):
    return (r.get("offence") or 0) >= 0.5


def no_irony(r):
    return (r.get("irony") or 0) < 0.5


def irony(r):
    return (r.get("irony") or 0) >= 0.5


def felt(*names: str):
    """Expects that the strongest emotion, `neutral` left out, is one of these."""

    def expect(r):
        emotions = {name: value for name, value in r["emotions"].items() if name != "neutral"}
        return bool(emotions) and max(emotions, key=emotions.get) in names

    return expect


def not_felt(*names: str):
    """Expects that each of these emotions has less than 0.3."""
    return lambda r: all(r["emotions"].get(name, 0.0) < 0.3 for name in names)


def named(*names: str):
    """Expects that one of these emotions is stronger than `neutral`."""
    return lambda r: max(r["emotions"].get(name, 0.0) for name in names) > r["emotions"].get("neutral", 0.0)


WORDS = {
    "it": ["the dentist", "that novel", "the cruise", "this camera", "the haircut", "the gym", "the choir", "the chess club", "the lawn mower", "the podcast", "the kettle", "our tour guide", "the picnic", "the tent", "the bakery", "the massage", "the zoo", "the vet", "the wedding", "her speech", "the ice rink", "the printer", "the villa", "the quiz"],
    "fine": ["exquisite", "fabulous", "dazzling", "faultless", "captivating", "remarkable", "graceful", "memorable", "outstanding", "impeccable", "exceptional", "first-rate", "awesome", "stunning", "heart-warming", "adorable", "enchanting", "flawless"],
    "foul": ["horrible", "disgusting", "wretched", "nasty", "repulsive", "insufferable", "deplorable", "obnoxious", "grotesque", "revolting", "loathsome", "inept", "rotten", "mediocre", "tiresome", "ridiculous", "maddening", "disastrous"],
    "bare": ["Portuguese", "wooden", "yellow", "in the basement", "Victorian", "six weeks old", "plastic", "on the left", "digital", "bilingual", "Danish", "two metres wide", "owned by the parish", "beside the canal", "annual", "made in Wales"],
    "folk": ["my grandson", "the twins", "our landlady", "her fiancé", "my bandmate", "their trainer", "the man next door", "my godmother"],
    "crowd": ["the forum", "all the blogs", "the brochure", "the leaflet", "my whole family", "the locals", "the jury"],
    "filler": ["now that the dust has settled", "between you and me", "speaking as a parent of four", "weather aside", "all things considered", "and I say this with love", "leaving the money out of it", "on my third cup of tea"],
    "moment": ["in February", "before lunch", "the day before yesterday", "two summers ago", "during the break", "on our anniversary"],
    "town": ["Ghent", "Boise", "Galway", "Pune", "Hobart", "Lima", "Malmö", "Accra", "Split", "Trieste", "Turin", "Cardiff"],
    "much": ["immensely", "terribly", "exceedingly", "enormously", "awfully", "remarkably", "wildly"],
    "less": ["rather", "faintly", "a shade", "modestly", "passably"],
}

FINE = {
    "person": ["stonemason", "florist", "goalkeeper", "librarian", "optician", "bus driver", "pharmacist", "caretaker"],
    "nationality": ["Greek", "Kenyan", "Dutch", "Iranian", "Filipino", "Cuban", "Ukrainian", "Ethiopian", "Afghan", "Italian", "Japanese", "Chilean", "Moroccan", "Scottish", "Mexican", "Chinese"],
    "religion": ["Muslim", "Jewish", "Christian", "Hindu", "Buddhist", "Protestant", "Taoist", "agnostic", "Baptist", "Sunni", "Methodist", "Jain"],
    "orientation": ["gay", "lesbian", "straight", "bisexual", "pansexual", "queer", "trans", "heterosexual"],
    "race": ["Black", "white", "Asian", "Hispanic", "Indigenous", "Arab", "biracial", "Caucasian", "African-American", "South Asian"],
    "kin": ["mother-in-law", "father-in-law", "stepsister", "stepbrother", "girlfriend", "boyfriend", "godmother", "godfather"],
    "years": ["18", "22", "34", "39", "47", "55", "64", "72", "85", "97"],
    "trade": ["baker", "engineer", "butcher", "professor", "janitor", "actor", "sailor", "accountant", "electrician", "bouncer", "mechanic", "broker", "model", "vicar"],
    "first": ["Liam", "Abena", "Rahul", "Sofia", "Khadija", "Dmitri", "Hiroshi", "DeShawn", "Molly", "Leilani", "Omar", "Tanisha", "Hans", "Xiulan", "Esther", "Anselm", "Bridget", "Pablo"],
    "folks": ["Muslims", "Jews", "gay men", "Black women", "immigrants", "Mexicans", "trans women", "disabled kids", "Asians", "Catholics", "refugees", "women", "Kenyans", "Hindus", "lesbians", "travellers"],
}


def join(*parts):
    return {name: words for part in parts for name, words in part.items()}


MUST = [
    # Vocabulary
    ("vocabulary/good", positive, ["We thought {it} was {fine}.", "{it} turned out {fine}, hooray", "What {fine} work by {folk}", "five stars for {it}: {fine}", "{fine} and {fine.2}, that sums up {it}"], {}),
    ("vocabulary/bad", negative, ["We thought {it} was {foul}.", "{it} turned out {foul}, sadly", "What {foul} work by {folk}", "one star for {it}: {foul}", "{foul} and {foul.2}, that sums up {it}"], {}),
    ("vocabulary/fact", neutral, ["{A:it} is {bare}.", "I read that {it} is {bare}", "{folk} asked if {it} is {bare}", "{it} has been {bare} since it was built", "from {town} one sees that {it} is {bare}"], {}),
    # Negation
    ("negation/good, near", not_positive, ["{A:it} [wasn't|isn't] {fine}.", "{it} is not a {fine} thing", "Ours [was not|is not] {fine}, talking about {it}", "you could not call {it} {fine}", "{it} [fails to be|will never be] {fine}", "nobody finds {it} {fine}"], {}),
    ("negation/bad, near", not_negative, ["{A:it} [wasn't|isn't] {foul}.", "{it} is not a {foul} thing by any means", "Ours [was not|is not] {foul}, talking about {it}", "you could not call {it} {foul}", "{it} [is never|was never once] {foul}", "nobody finds {it} {foul}"], {}),
    ("negation/neutral, near", neutral, ["{A:it} [wasn't|isn't] {bare}.", "{it} is not a {bare} thing", "Ours [was not|is not] {bare}, talking about {it}", "you could not call {it} {bare}", "{it} has never been {bare}", "{folk} told me that {it} isn't {bare}"], {}),
    ("negation/good, far", not_positive, ["I'd be lying, {filler}, if I claimed {it} was {fine}", "It would not occur to me, {filler}, to praise {it} as {fine}", "not once {moment} did {folk} or I find {it} {fine}", "Hardly anyone in {town} would tell you that {it} is {fine}"], {}),
    ("negation/bad, far", not_negative, ["I'd be lying, {filler}, if I claimed {it} was {foul}", "It would not occur to me, {filler}, to dismiss {it} as {foul}", "not once {moment} did {folk} or I find {it} {foul}", "Hardly anyone in {town} would tell you that {it} is {foul}"], {}),
    ("negation/neutral, far", neutral, ["I'm not aware, {filler}, of {it} being {bare}", "not once {moment} did {folk} say that {it} is {bare}", "Hardly anyone in {town} would know whether {it} is {bare}", "no report from {town} mentions that {it} is {bare}"], {}),
    ("negation/good, at the end", not_positive, ["{crowd} described {it} as {fine}. False.", "{fine}? {A:it}? Hardly.", "we were led to believe {it} would be {fine}, and then it just wasn't so", "{crowd}: {it} will be {fine}! Reality: it was not."], {}),
    ("negation/bad, at the end", not_negative, ["{crowd} described {it} as {foul}. False.", "{foul}? {A:it}? Hardly.", "we were led to believe {it} would be {foul}, and then it just wasn't so", "{crowd}: {it} will be {foul}! Reality: it was not."], {}),
    ("negation/in an answer, good", not_positive, ["You ask whether {it} was {fine}. I'm afraid not.", "\"How was {it}, {fine}?\" - \"No, sorry.\"", "And {it}, was that {fine}? Sadly no"], {}),
    ("negation/in an answer, bad", not_negative, ["You ask whether {it} was {foul}. Luckily not.", "\"How was {it}, {foul}?\" - \"No, not a bit.\"", "And {it}, was that {foul}? Thankfully no", "do I think {it} is {foul}, I do not"], {}),
    ("negation/was good once", not_positive, ["{it} was {fine} until they changed it", "in the old days {it} was {fine}; these days, well", "{it} lost everything that made it {fine}", "the {fine} years of {it} lie behind us"], {}),
    ("negation/was bad once", not_negative, ["{it} was {foul} until they renovated, what a change", "in the old days {it} was {foul}; these days I recommend it", "they fixed everything that made {it} {foul}", "the {foul} years of {it} lie behind us, thank goodness"], {}),
    ("negation/not only good", positive, ["{it} is more than {fine}, it's {fine.2}", "not simply {fine}: {it} is downright {fine.2}", "Far more than just {fine}, {it}"], {}),
    ("negation/not only bad", negative, ["{it} is worse than {foul}, it's {foul.2}", "not simply {foul}: {it} is downright {foul.2}", "Beyond {foul}, {it}, and on top of that {foul.2}"], {}),
    ("negation/twice, good", positive, ["there's no denying {it} is {fine}", "I have yet to meet a person who doesn't think {it} {fine}", "you'd have to be made of stone not to find {it} {fine}", "{it} is never less than {fine}"], {}),
    ("negation/twice, bad", negative, ["there's no denying {it} is {foul}", "I have yet to meet a person who doesn't think {it} {foul}", "you'd have to be blind not to see how {foul} {it} is", "{it} is never less than {foul}"], {}),
    # Concession and reported opinion
    ("concession/ends well", not_negative, ["{A:it} is {foul}, yet {it.2} makes up for it, we were delighted", "granted, {it} was {foul}; {it.2} was {fine} enough to forget that", "what a {fine} trip, {foul} {it} or not", "{foul} start, {fine} finish"], {}),
    ("concession/ends badly", not_positive, ["{A:it} is {fine}, yet {it.2} spoils it, we were let down", "granted, {it} was {fine}; {it.2} was {foul} enough to forget that", "what a {foul} trip, {fine} {it} or not", "{fine} start, {foul} finish"], {}),
    ("reported/they bad, I good", not_negative, ["{folk} find {it} {foul}. To me it's {fine}", "{crowd} wrote {it} off as {foul}, they are wrong, it's {fine}", "contrary to {crowd} I consider {it} {fine}, not {foul}"], {}),
    ("reported/they good, I bad", not_positive, ["{folk} find {it} {fine}. To me it's {foul}", "{crowd} hailed {it} as {fine}, they are wrong, it's {foul}", "contrary to {crowd} I consider {it} {foul}, not {fine}"], {}),
    # How people write
    ("slang/good", positive, ["{it} is [the real deal|top notch|straight heat|a banger|dope|legit|ace|next level|mint]", "[yooo|bruh|bro|fam] {it} went [crazy hard|off]", "{folk} cooked with {it} 🔥", "stan {it} for clear skin", "deadass {it} was [dope|mint|ace]"], {}),
    ("slang/bad", negative, ["{it} is [bogus|a dumpster fire|naff|whack|a snoozefest|crap|lame|bottom tier]", "[yooo|bruh|bro|fam] {it} was so [whack|lame|naff]", "{folk} did us dirty with {it}", "{it} really flopped huh", "hard pass on {it}"], {}),
    ("emoji/good, alone", positive, ["{smile}{smile.2}", "{smile} {smile.2} {smile.3}", "{smile}{smile.2}{smile.3}"], {"smile": ["😀", "😃", "😺", "😻", "😋", "🤗", "💞", "💖", "💗", "🌞", "🎈", "👏", "✨", "😇", "💚"]}),
    ("emoji/bad, alone", negative, ["{frown}{frown.2}", "{frown} {frown.2} {frown.3}", "{frown}{frown.2}{frown.3}"], {"frown": ["😭", "😩", "😖", "😣", "😾", "🙁", "😟", "😫", "🤕", "😓", "😧", "💢", "😦", "🖕", "🤧"]}),
    ("two languages/good", positive, ["{it} muy bien, truly {fine}", "oui oui, {it} is {fine}", "[sumakay na|tara na], {it} is {fine}", "accha, {it} was {fine}", "ach wie schön, {it} is {fine}", "habibi {it} is {fine}"], {}),
    ("two languages/bad", negative, ["{it} muy mal, truly {foul}", "non non, {it} is {foul}", "haay nako, {it} is {foul}", "chee yaar, {it} was {foul}", "ach Mist, {it} is {foul}", "habibi {it} is {foul}"], {}),
    # What no word says
    ("event/plain headline", neutral, ["{office} in {town} extends term of {officer}", "{officer} to tour {town} and {town.2} in {month}", "{town} opens {n} km of cycle path", "{office} counts {n} new registrations", "Ferry timetable for {month} published, says {office}", "{town} swaps {n} street lamps for LED"], {"office": ["Senate", "Harbour authority", "District assembly", "Land registry", "Tax office", "Fire department", "School board"], "officer": ["the governor", "the auditor", "the envoy", "the rector", "the treasurer"], "month": ["April", "September", "January", "November"], "n": ["4", "19", "77", "260", "1,400"]}),
    ("event/calamity", negative, ["{n} killed as {wreck} near {town}", "{wreck} in {town}: {n} feared dead", "Police find bodies of {n} after {wreck}", "{wreck} leaves {n} children orphaned in {town}", "{town} mourns {n} victims of {wreck}"], {"wreck": ["coach overturns", "warehouse blaze", "stampede", "helicopter crash", "bridge collapse", "cyclone", "mudslide", "chemical leak"], "n": ["four", "eleven", "two dozen", "17", "sixty", "200"]}),
    ("event/triumph", positive, ["{hero} from {town} {deed}", "{deed_of}: {hero} celebrates in {town}", "After {n} years of work {hero} {deed}"], {"hero": ["Teenager", "Retired miner", "Midwife", "School orchestra", "Rowing crew", "Beekeeper"], "deed": ["wins world championship", "awarded medal for bravery", "finds cure for rare illness", "reunited with lost brother", "saves three swimmers"], "deed_of": ["Gold medal", "Record broken", "Scholarship won", "Dream comes true"], "n": ["6", "11", "30"]}),
    ("event/in the first person, bad", negative, ["{folk} moved out {moment}. There is an empty shelf where the books stood.", "they towed the van with everything in it {moment}", "the surgeon shook his head", "my contract ends {moment} and it will not be renewed", "{moment} the lab rang. It came back positive for the bad thing.", "our bakery shut for good {moment}", "{folk} forgot to pick me up {moment}, I walked home from {town}", "the roof leaked on {it} {moment}, nothing could be saved"], {}),
    ("service/waiting", negative, ["{n} working hours later and {firm} still has not answered", "queue position {n} at {firm}, it was {n} an hour ago", "my claim with {firm} has been open for {span}", "{firm} promised a call within a day. That was {span} ago", "nobody at {firm} picks up, ticket open for {span}", "the engineer from {firm} did not show up {moment}"], {"firm": ["the insurer", "the broadband company", "the water board", "the energy supplier", "the courier", "the letting agency", "the mobile network"], "span": ["nine weeks", "half a year", "eleven days", "a fortnight", "five months"], "n": ["48", "62", "14", "96"]}),
    ("service/fact", neutral, ["the meter reading for {firm} is {n}", "I registered with {firm} {moment}", "policy number {n}, with {firm}", "{firm} sent the form to my address in {town}", "my plan with {firm} ends {moment}"], {"firm": ["the insurer", "the broadband company", "the water board", "the energy supplier", "the courier", "the letting agency"], "n": ["00418", "75 32", "PX-9", "2203", "61-07", "LM 440"]}),
    ("service/polite request", not_negative, ["Good evening {firm}, kindly point me to the form for {topic}", "Dear {firm}, I would appreciate a word on {topic}", "Might {firm} advise on {topic}? Many thanks", "Pardon the question, where do I find {topic}, {firm}?", "Whenever it suits you, {firm}, could we talk about {topic}?"], {"firm": ["insurance team", "broadband people", "water board", "energy desk", "courier team", "letting agency", "registry"], "topic": ["a change of name", "the meter reading", "parking permits", "a paper bill", "the spring tariff", "my late payment", "a missing page", "an error on page two"]}),
    # Feelings that hide
    ("grief/looks like joy", not_positive, ["Another candle for you today, {late}, you would have turned {n}", "They named a star after {late} so we wave at the sky now", "{late}, heaven has a great cook since you left", "Raised our glasses to {late}. An empty chair never felt so loud", "You'd have adored your great-grandchild, {late} 🤍", "singing {late}'s hymn at the grave, sun came out", "thinking of your smile, {late}, since you went to sleep for good"], {"late": ["Grandpa Joe", "Mama", "sis", "Papa", "Coach", "Bella", "my darling wife", "Uncle Ray", "my son", "Teacher Ana", "Oma", "Captain Lee", "cousin Tom", "Nonna", "my firstborn", "Sister Ruth", "old Max", "my twin", "Aunt Ines", "Abuela", "Doc Harris", "Pops", "my roommate", "Granny Jo", "Rufus", "my mentor", "Father Brian", "Lola", "Jonas", "Baba", "my sweetheart", "Mister Kim"], "n": ["30", "77", "100", "18"]}),
    ("grief/is named", named("grief", "sadness"), ["Another candle for you today, {late}, you would have turned {n}", "Raised our glasses to {late}. An empty chair never felt so loud", "we laid {late} to rest {moment}", "a year without {late}, still setting out the second cup", "the church was full for {late}", "{late} is no more. I can't take it in", "every song reminds me of {late} since the funeral"], {"late": ["Grandpa Joe", "Mama", "sis", "Papa", "Coach", "Bella", "my darling wife", "Uncle Ray", "my son", "Teacher Ana", "Oma", "Captain Lee", "cousin Tom", "Nonna", "my firstborn", "Sister Ruth", "old Max", "my twin", "Aunt Ines", "Abuela", "Doc Harris", "Pops", "my roommate", "Granny Jo", "Rufus", "my mentor", "Father Brian", "Lola", "Jonas", "Baba", "my sweetheart", "Mister Kim"], "n": ["30", "77", "100", "18"]}),
    ("joy/looks like grief", not_negative, ["the toddler called the cat 'sir' and I expired", "weeping, {folk} got me tickets to {it}", "{folk} did the worm at {it}, I'm deceased 😂", "I can't breathe 🤣 {folk} thought {it} was {bare}", "screaming, we got into {it}!!!"], {}),
    ("longing", named("desire", "sadness", "love", "grief"), ["I long for {dear}", "how I ache for {dear} tonight", "so far from {dear}", "what wouldn't I do for one more day at {dear}", "{dear} feels like another life, I want it back", "pining for {dear} {moment}"], {"dear": ["our old farm", "the lake of my childhood", "Lisbon in spring", "her singing in the kitchen", "my regiment", "the village square", "grandfather's workshop", "Sundays at the mosque", "the kids being small", "the orchard", "choir practice", "{town}", "the harbour at dawn", "our first home", "the old band room", "{folk}", "barefoot summers", "the night market", "my mother tongue", "the farm dogs", "rain on a tin roof", "the drumming", "home cooking", "my horse", "the desert", "snow", "the islands", "her letters", "the sound of bells", "those dances", "school choir", "the valley", "my garden", "the boat"]}),
    # Emotions
    ("emotion/anger", felt("anger", "annoyance", "disapproval"), ["how dare {folk} touch my {object}", "{folk} stole my {object}, I could explode", "absolutely outraged at {firm}", "my blood boils when I think of what {firm} did to {folk}", "{firm} lied to our faces and I am beside myself", "{firm} broke my {object} and laughed, I want to scream"], {"object": ["bike", "lunch", "passport", "parking space", "medal", "violin", "ladder", "tools"], "firm": ["the council", "the insurer", "the landlord's lawyer", "the ferry company", "the tax office"]}),
    ("emotion/joy", felt("joy", "excitement", "love", "amusement", "pride", "relief"), ["woohoo, {folk} won {it}", "dancing round the kitchen because {folk} got engaged", "happiest I've been {moment}, {it} with {folk}", "{folk} is having a baby and I could burst", "all smiles here, {it} starts {moment}"], {}),
    ("emotion/fear", felt("fear", "nervousness"), ["my knees wobble at the thought of {dread}", "dreading {dread} so much", "{dread} has me panicking", "there's a strange noise in the attic and I'm frightened", "frightened of {dread}, can't help it"], {"dread": ["heights", "the operation", "what comes after the election", "thunder", "the exam board", "being found out", "deep water", "the call from the clinic", "spiders in {town}", "going back to {town}", "the verdict", "the dark cellar", "a second wave", "the flight to {town}", "that dog", "the dentist's drill", "small lifts", "the needle", "losing {folk}", "the letter from {town}", "the audit", "the night shift alone", "the trial", "standing on a ladder", "the bees", "crossing the pass", "the storm tonight", "blood tests", "the crowd", "my own shadow", "the stage", "ghosts", "snakes"]}),
    ("emotion/gratitude", felt("gratitude", "admiration", "joy", "love"), ["much obliged to {folk} for {deed}", "cheers {folk} for {deed}", "I owe {folk} everything for {deed}", "big thank-you to {folk}: {deed}"], {"deed": ["feeding the cats", "fixing the roof", "the loan", "believing in me", "the warm meal", "carrying the piano", "the spare key", "the jump start"]}),
    ("emotion/sadness", felt("sadness", "grief", "disappointment", "remorse"), ["my heart sank when {it} was called off", "feeling blue since {folk} moved to {town}", "wept on the tram home from {town}", "I feel so sorrowful about {folk} and {it}", "nothing but sorrow since {folk} left {town}"], {}),
    ("emotion/fear, denied", not_felt("fear", "nervousness"), ["{dread} does not frighten me", "I've no fear of {dread}", "never been afraid of {dread}", "unafraid of {dread}, bring it on", "{dread} holds no terror for {folk}", "{folk} and I do not fear {dread}"], {"dread": ["heights", "the operation", "thunder", "the exam board", "deep water", "spiders", "the dark", "flying", "the boss", "needles", "ghosts", "bees", "snakes", "the stage", "the audit"]}),
    ("emotion/joy, denied", not_felt("joy", "excitement"), ["{folk} took no joy in {it}", "I'm not happy about {it}", "we weren't pleased with {it} {moment}", "there is no happiness in {it}", "can't say {it} made {folk} happy"], {}),
    # Irony
    ("irony/none in ordinary posts", no_irony, ["{verb} {it} {moment}", "{folk} and I {verb} {it}", "heading to {it} in {town}", "{it} in {town}, see you there", "who wants to come to {it} {moment}?", "notes from {town}: {it} is {bare}", "good night from {town}", "{moment} I {verb} {it} with {folk}"], {"verb": ["visited", "photographed", "drew", "described", "looked at", "passed"]}),
    ("irony/none in praise", no_irony, ["{it} in {town} was {fine}, I'd recommend it to anyone", "really {fine}, {it}, thank you {folk}", "wow, {it} is {fine}", "what a {fine} surprise: {it}", "so {fine} of {folk} to take us to {it}"], {}),
    ("irony/none in complaints", no_irony, ["{it} in {town} was {foul}, I won't go back", "really {foul}, {it}", "so {foul} that {folk} cancelled {it}", "{it} is {foul} and too expensive", "{foul} weather ruined {it}"], {}),
    ("irony/found", irony, ["Oh how {fine}, {folk} dropped my phone in the toilet", "Of course {it} shuts on the one day I'm in {town}. {fine}.", "{fine}! A flat tyre and no spare.", "well isn't that {fine}, {it} got cancelled an hour before", "I just adore paying twice for {it}", "Yeah right, {it} will surely be ready {moment}", "ten out of ten, {it} set my hair on fire", "Congrats {folk}, you managed to break {it} in a minute"], {}),
    # Hate, offence and what resembles them
    ("hate/found", hate, ["{folks} ought to be locked up, every one of them", "get {folks} out of {town}", "{folks} are parasites", "the only good thing about {folks} is when they leave", "I can't wait until {folks} are banned from {town}", "{folks} are filthy animals", "never trust {folks}, it is in their blood", "ship {folks} off and burn the papers"], FINE),
    ("hate/found, disguised", hate, ["{folks} are p@rasites", "{folks} are f1lthy an1mals", "g e t  r i d  o f {folks}", "{folks} are sc*m", "l0ck up all {folks}", "I h8 {folks}, parasit3s", "{folks} = tr4sh, deport th3m", "f.i.l.t.h.y {folks}", "{folks} r subhum4n", "k1ck {folks} 0ut", "{folks} must g0, all of th3m", "exterm1nate {folks}", "d1rty {folks} everywhere", "{folks} n0t welcome, get l0st"], FINE),
    ("hate/none in counter-speech", no_hate, ["Whoever calls {folks} parasites should read a book", "No, {folks} are not animals. Shame on that newspaper.", "we painted over the words about {folks} on the wall", "Hate against {folks} has no place in {town}", "calling {folks} filthy says more about you than about them", "I'll defend {folks} against every bully in {town}"], FINE),
    ("hate/none in quotes", no_hate, ["someone yelled \"get out\" at {folks} on the tram today, I cried", "the leaflet said {folks} are parasites. We handed it to the police.", "he was fined for writing that {folks} ought to be locked up", "my pupil was told \"{folks} stink\" and came to me in tears", "a poster in {town} said \"no {folks}\", I tore it down", "\"{folks} out\" was scratched into the bench in {town}, the mayor apologised", "court in {town}: fine for chanting \"{folks} out\"", "at the office someone joked that {folks} smell, nobody laughed {moment}"], FINE),
    ("hate/none in support", no_hate, ["{folks} make {town} richer", "equal rights for {folks}", "we cooked for {folks} at the centre in {town}", "so glad {folks} feel safe here", "{folks}: this bench, this square, this city is yours too"], FINE),
    ("hate/none in facts", no_hate, ["{n} {folks} took part in the survey", "a book about {folks} in {town} came out", "{folks} gather on the square in {town} at noon", "the share of {folks} in {town} is {n} percent"], join(FINE, {"n": ["9", "34", "512"]})),
    ("hate/none against things", no_hate, ["I loathe {pest}", "exterminate all {pest}", "{pest} must die", "{pest} are parasites, literally or not", "get {pest} out of my life", "no mercy for {pest}", "{pest} belong in hell", "ban {pest} from {town}"], {"pest": ["mosquitoes", "bed bugs", "chain emails", "leaf blowers", "ticks", "car alarms", "moths", "robocalls", "brussels sprouts", "hiccups", "weeds", "zip files", "escape rooms", "parking meters", "plastic straws", "onesies"]}),
    ("offence/none in harmless profanity", no_offence, ["fuckin' {fine}, {it}", "{it} was {fine} as fuck", "shiiit, {it} is {fine}", "hot damn, {it}", "who the fuck cares, {it} is {fine}", "crap, I forgot {it} {moment}", "helluva ride, {it} {moment}"], {}),
    ("offence/none in identity", no_offence, ["I'm {religion} and {orientation}", "her wife is {nationality} and {race}", "{religion} and {religion.2} kids play in {town}", "our {person} is {orientation}", "a {race} {person} and a {nationality} {person.2} walk to work"], FINE),
    ("offence/insult found", offence, ["you absolute {name}", "{name}s like you should log off", "what an ugly {name} you are", "you brainless {name}, nobody asked", "eat dirt you {name}"], {"name": ["dipshit", "cretin", "jackass", "scumbag", "fuckwit", "tosser", "imbecile", "twat", "numbskull", "douchebag", "wanker", "creep", "asshole", "dumbass", "pig", "halfwit", "rat", "lowlife", "dimwit", "ratface", "nitwit", "fool", "coward", "liar", "toad", "worm", "cockroach", "goblin", "blockhead", "parasite", "weasel", "snake", "donkey", "buffoon", "simpleton", "hypocrite", "troll", "maggot", "leech", "skunk", "slug", "prat", "git", "muppet"]}),
]

SAME = [
    ("identity/nationality", ["The {nationality} {person} lives in {town}", "my flatmate is {nationality}", "a {nationality} {person} told me {it} was {fine}", "a {nationality} {person} told me {it} was {foul}", "we met a {nationality} couple {moment}", "{nationality} food {moment}, then {it}", "our {person} happens to be {nationality}"], ("nationality",)),
    ("identity/religion", ["The {religion} {person} lives in {town}", "my flatmate is {religion}", "a {religion} {person} told me {it} was {fine}", "a {religion} {person} told me {it} was {foul}", "we met a {religion} couple {moment}", "a {religion} school opens in {town}", "our {person} happens to be {religion}"], ("religion",)),
    ("identity/orientation", ["The {orientation} {person} lives in {town}", "my flatmate is {orientation}", "a {orientation} {person} told me {it} was {fine}", "a {orientation} {person} told me {it} was {foul}", "we met a {orientation} person {moment}", "our {person} happens to be {orientation}", "he told {folk} that he is {orientation}"], ("orientation",)),
    ("identity/race", ["The {race} {person} lives in {town}", "my flatmate is {race}", "a {race} {person} told me {it} was {fine}", "a {race} {person} told me {it} was {foul}", "we met a {race} couple {moment}", "a {race} actor plays the {person}", "our {person} happens to be {race}"], ("race",)),
    ("identity/gender and family", ["my {kin} came to {town} {moment}", "my {kin} called {it} {fine}", "my {kin} called {it} {foul}", "I sat beside my {kin} at {it}", "the letter is for my {kin}"], ("kin",)),
    ("identity/age", ["{years} candles for our {person} in {town}", "my {person} turned {years} {moment}", "at {years} {folk} found {it} {foul}", "at {years} {folk} found {it} {fine}", "{years} years old and at {it}"], ("years",)),
    ("identity/occupation", ["the {trade} from {town} called", "I married a {trade}", "a {trade} told me {it} was {fine}", "a {trade} told me {it} was {foul}", "there's a {trade} at {it}"], ("trade",)),
    ("identity/name", ["{first} is coming to {town} {moment}", "{first} found {it} {fine}", "{first} found {it} {foul}", "I told {first} about {it}", "{first} and {folk} were at {it}", "the prize goes to {first}"], ("first",)),
    ("identity/place", ["{folk} lives in {town}", "greetings from {town}", "{it} in {town} was {fine}", "{it} in {town} was {foul}", "the road to {town} passes {it}"], ("town",)),
]


def curly(text, _):
    return text.replace("'", "\u2019")


def entities(text, _):
    return text.replace("&", "&amp;").replace("'", "&#39;").replace('"', "&quot;")


def link(text, chance):
    return f"{text} https://t.example/{chance.randrange(10**6)}"


def mention(text, chance):
    return f"@user{chance.randrange(10**4)} {text}"


def selector(text, _):
    return text.replace("❤", "❤\ufe0f").replace("☹", "☹\ufe0f").replace("☀", "☀\ufe0f")


def no_selector(text, _):
    return text.replace("\ufe0f", "")


def narrow_space(text, _):
    return text.replace(" ", "\u00a0")


def typo(text, chance):
    letters = [at for at in range(1, len(text) - 2) if text[at].isalpha() and text[at + 1].isalpha() and text[at - 1].isalpha()]
    at = chance.choice(letters)
    return text[:at] + text[at + 1] + text[at] + text[at + 2 :]


CHANGED = [
    ("spelling/apostrophes and entities", ["{A:it} isn't {fine} & I don't like it", "it's {fine}, I can't complain & won't", "{it} wasn't {foul}, we didn't mind & wouldn't leave", "\"{foul}\" doesn't cover it, {folk} couldn't stay"], (curly, entities, narrow_space)),
    ("spelling/emoji selectors", ["{it} {emo}", "{emo} {it} was {fine}", "{it} was {foul} {emo}", "{emo}{emo} {it}"], (selector, no_selector)),
    ("spelling/links and mentions", ["{it} was {fine}", "{it} was {foul}", "{it} is {bare}", "{folk} said that {it} is {fine}", "{folk} said that {it} is {foul}"], (link, mention)),
    ("spelling/one typo", ["we thought that {it} was {fine}", "we thought that {it} was {foul}", "{folk} said that {it} is {bare}"], (typo, typo, typo)),
]

DIRECTIONS = [
    ("strength/boosted good", +1, [("{it} was {fine}", "{it} was {much} {fine}"), ("I find {it} {fine}", "I find {it} {much} {fine}")]),
    ("strength/boosted bad", -1, [("{it} was {foul}", "{it} was {much} {foul}"), ("I find {it} {foul}", "I find {it} {much} {foul}")]),
    ("strength/softened good", -1, [("{it} was {fine}", "{it} was {less} {fine}"), ("I find {it} {fine}", "I find {it} {less} {fine}")]),
    ("strength/softened bad", +1, [("{it} was {foul}", "{it} was {less} {foul}"), ("I find {it} {foul}", "I find {it} {less} {foul}")]),
    ("strength/praise added", +1, [("{it} is {bare}", "{it} is {bare}. {A:fine}!"), ("{folk} saw {it} {moment}", "{folk} saw {it} {moment} and loved it")]),
    ("strength/complaint added", -1, [("{it} is {bare}", "{it} is {bare}. {A:foul}!"), ("{folk} saw {it} {moment}", "{folk} saw {it} {moment} and hated it")]),
    ("negation/good, turned", -1, [("{it} is {fine}", "{it} isn't {fine}"), ("I call {it} {fine}", "I don't call {it} {fine}"), ("{folk} said that {it} was {fine}", "{folk} said that {it} wasn't {fine}")]),
    ("negation/bad, turned", +1, [("{it} is {foul}", "{it} isn't {foul}"), ("I call {it} {foul}", "I don't call {it} {foul}"), ("{folk} said that {it} was {foul}", "{folk} said that {it} wasn't {foul}")]),
]

OWN = {"emo": ["❤", "❤\ufe0f", "☹", "☹\ufe0f", "☀", "☀\ufe0f"]}
TESTS = [
    *(Test(name, "must", templates, expect, words) for name, expect, templates, words in MUST),
    *(Test(name, "same", templates, words=FINE, swaps=swaps) for name, templates, swaps in SAME),
    *(Test(name, "same", templates, words=OWN, changes=changes) for name, templates, changes in CHANGED),
    *(Test(name, "direction", pairs, way) for name, way, pairs in DIRECTIONS),
]


def cases(test: Test) -> list[list[str]]:
    """Returns the test's cases, each a list of sentences; at least 200, each once."""
    chance = random.Random(f"1/{test.name}")
    lists = WORDS | test.words
    made: dict[tuple[str, ...], None] = {}
    for number in range(60 * CASES):
        if len(made) == CASES:
            break
        made[tuple(case(test, test.templates[number % len(test.templates)], lists, chance))] = None
    return [list(one) for one in made]


def case(test: Test, template, lists, chance: random.Random) -> list[str]:
    if test.kind == "must":
        return [fill(template, lists, chance)]
    taken: dict[str, str] = {}
    if test.kind == "direction":
        return [fill(part, lists, chance, taken) for part in template]
    if test.changes:
        text = fill(template, lists, chance, taken)
        return [text, *(change(text, chance) for change in test.changes)]
    slot = test.swaps[0]
    text = fill(template, lists, chance, taken)
    kept = {name: word for name, word in taken.items() if name.split(".")[0] not in test.swaps}
    others = chance.sample(lists[slot], min(SWAPS, len(lists[slot])))
    # The same choices in every sentence: only the slot differs.
    return [text, *(fill(template, lists, random.Random(0), kept | {f"{slot}.1": other}) for other in others)][1:]


def failed(test: Test, readings: list[dict]) -> bool:
    """Returns whether the readings of one case are not as expected."""
    if test.kind == "must":
        return not test.expect(readings[0])
    compounds = [r["sentiment"]["compound"] for r in readings]
    if test.kind == "same":
        labels = {r["sentiment"]["label"] for r in readings}
        return len(labels) > 1 or max(compounds) - min(compounds) > ALIKE
    return test.expect * (compounds[1] - compounds[0]) < -TOLERANCE
