"""Feelings that words alone hide: longing, grief that looks like joy, slang, emoji alone, several languages in one post."""

from __future__ import annotations

from contrast.forms import MIXED, NEGATIVE, NEUTRAL, NOT_NEGATIVE, NOT_POSITIVE, POSITIVE, RATHER_NEGATIVE, RATHER_POSITIVE, Form, Ladder

WORDS = {
    "gone": ["grandma", "my grandad", "dad", "mum", "our old dog", "my brother", "Aunt Rose", "my best friend", "my little girl", "nan", "my husband", "Uncle Pete", "our son"],
    "gone_you": ["grandma", "grandad", "dad", "mum", "old boy", "brother", "Auntie", "my friend", "little one", "nan", "my love"],
    "far": ["the sea", "my hometown", "Cape Town", "my mother's kitchen", "the mountains", "my old street", "summer nights on the roof", "the smell of rain on dust", "university days", "my people", "the sound of her laugh", "our old band"],
    "person": ["my girlfriend", "my boyfriend", "my mum", "my sister", "you", "my best mate", "my wife", "the kids", "my dog", "my grandparents"],
    "feat": ["passed my driving test", "got the job", "finished the marathon", "beat my personal best", "paid off my loan", "got into nursing school", "sold my first painting", "got the all clear from the doctor", "signed the lease", "made the team", "learnt to swim at 50"],
    "setback": ["failed the exam by two points", "lost my wallet", "got dumped by text", "missed the last bus", "dropped my phone in the sea", "didn't get the job", "burnt dinner", "crashed my bike", "got food poisoning on day one", "lost three years of photos"],
    "joy": ["so happy", "over the moon", "buzzing", "on cloud nine", "grinning like a fool", "thrilled", "made up", "ecstatic"],
    "anger": ["furious", "livid", "fuming", "raging", "so angry I can't type", "seething", "done being polite", "sick of this"],
    "sad": ["gutted", "heartbroken", "so sad", "in tears", "devastated", "down", "feeling low", "crushed"],
    "fear": ["terrified", "scared", "so nervous", "petrified", "anxious", "worried sick", "shaking", "on edge"],
    "threat": ["the results", "tomorrow's surgery", "the storm", "walking home alone", "the scan on Friday", "the noise downstairs", "my first flight", "speaking to 300 people", "what the landlord will say"],
    "wrong": ["they cancelled it without telling anyone", "he lied to all of us", "someone parked across my drive again", "they charged me twice", "she took credit for my work", "the council cut the last bus", "people left their rubbish on the beach", "he laughed about it"],
    "gift": ["the flowers", "your kind words", "the lift home", "helping my mum", "the birthday cards", "sharing this", "staying on the phone with me", "the second chance", "all the support"],
    "gross": ["mould in my sandwich", "hair in the drain", "a cockroach in the sink", "someone clipping toenails on the bus", "what I found under the sofa", "the smell in that lift"],
    "shock": ["they just announced a baby", "she said yes", "we won the raffle", "snow in April", "he's moving to Peru", "they cast my neighbour in a film", "the price went down", "I found a note from 1911 in the wall"],
    "slip": ["called my teacher mum", "waved at a stranger", "sent that text to my boss", "walked in with my skirt tucked in", "forgot her name again", "cried in the meeting", "fell up the stairs"],
    "wrongdoing": ["I shouldn't have said that to her", "I never called him back", "I let the team down", "I snapped at my kids", "I broke my promise", "I wasn't there when she needed me"],
}

FORMS = [
    Form("longing", ["I miss {far}.", "missing {far} {when}", "What I would give to be back at {far}", "thinking of {far} again and my chest hurts", "can't stop thinking about {far}", "oh to be near {far} right now", "it's been too long since {far}", "take me back to {far}", "homesick for {far}"], NOT_POSITIVE, {"desire": 0.6, "sadness": 0.5}, share=1.5),
    Form("longing/person", ["I miss {person}", "wish {person} was here {when}", "another evening without {person}", "this bed is too big without {person}", "counting the days until I see {person} again", "so many miles between me and {person}"], NOT_POSITIVE, {"love": 0.5, "sadness": 0.5}),
    Form("reunion", ["finally back with {person} ❤️", "after a year apart I get to hug {person} today", "{person} at the airport gate, I'm crying happy tears", "home. {far}. at last."], POSITIVE, {"joy": 0.8, "love": 0.6}),
    Form("grief/looks_like_joy", ["Happy birthday in heaven, {gone_you}", "Dancing in the clouds with the angels now, {gone_you} 🕊️", "Happy heavenly anniversary {gone_you}, we raised a glass to you", "{A:gone} would have loved this sunset 💛", "Lit a candle and played your favourite song, {gone_you}. You would have sung along", "We laughed so hard remembering {gone} at the service", "Smiling at old videos of {gone} and then I remember", "Wearing your jumper for luck today, {gone_you} ❤️ I know you're watching", "First goal I've scored without you on the touchline, {gone_you}", "{A:gone} always said I'd make it. I made it. I only wish I could tell you", "Sweet dreams up there, {gone_you}. Save me a dance", "They planted a rose for {gone} today. It is beautiful", "you'd be 60 today {gone_you}. there is cake. there is no you", "the best man I ever knew got his wings today"], RATHER_NEGATIVE, {"grief": 0.75, "sadness": 0.7, "love": 0.6}, share=2),
    Form("joy/looks_like_grief", ["crying because {person} surprised me at work 😭😭", "I'm dead, {person} dressed up as a carrot 💀", "this baby goat has ended me 😭 so cute", "sobbing, they named the puppy after me", "not me weeping at {person} reading my card", "rip my diet, the cake was worth it 😂", "killed it at karaoke with {person} last night"], POSITIVE, {"amusement": 0.5, "joy": 0.6}, share=1.5),
    Form("joy", ["I {feat}!!", "{joy} because I {feat}", "guess who {feat} {when} 🎉", "I {feat} and I'm {joy}", "still can't believe I {feat}", "{A:person} {feat}, {joy}!", "five years of trying and I {feat}"], POSITIVE, {"joy": 0.85, "excitement": 0.5}),
    Form("pride", ["proud of {person} for real, what a journey", "I {feat} and for once I'm proud of myself", "look at my little brother, he {feat}. proud doesn't cover it"], POSITIVE, {"pride": 0.8, "joy": 0.6}),
    Form("setback", ["I {setback}.", "{when} I {setback}, great start to the week it was not", "{sad}. I {setback}", "so I {setback} and now I'm {sad}", "{A:who} {setback} and I feel so bad for them"], NEGATIVE, {"sadness": 0.5, "disappointment": 0.7}),
    Form("anger", ["{A:anger}. {A:wrong}.", "I'm {anger}, {wrong}", "how dare they, {wrong}", "{A:wrong} and I am {anger}", "don't talk to me today. {wrong}", "{A:wrong}. Unbelievable."], NEGATIVE, {"anger": 0.75, "annoyance": 0.6}, offensive=None),
    Form("fear", ["{A:fear} about {threat}", "can't sleep because of {threat}", "I'm {fear}. {threat} is all I can think about", "my stomach is in knots over {threat}", "please keep your fingers crossed, {threat}, I'm {fear}"], RATHER_NEGATIVE, {"fear": 0.7, "nervousness": 0.7}),
    Form("fear/not", ["not {fear} about {threat} any more", "{threat}? doesn't scare me one bit", "turns out {threat} was nothing to be afraid of", "I thought I'd be {fear}, I'm calm about {threat}"], NOT_NEGATIVE, {"relief": 0.5, "fear": 0.1}, share=1.5),
    Form("sad/not", ["I'm not {sad}, just tired", "I wouldn't say I'm {sad} about it", "no tears today. first time in weeks"], MIXED, share=0.7),
    Form("happy/not", ["I'm not {joy}, to put it mildly", "I can't remember when I was last {joy}", "should be {joy}. I'm not", "everyone else is {joy} and I feel nothing"], RATHER_NEGATIVE, {"sadness": 0.6}, share=1.5),
    Form("angry/not", ["I'm not {anger}, these things happen", "thought I'd be {anger} but I get it", "no hard feelings, really"], NOT_NEGATIVE, {"approval": 0.4, "anger": 0.1}),
    Form("gratitude", ["thank you for {gift}", "so grateful for {gift} {when}", "{A:gift} meant the world to me, thanks", "can't thank you enough for {gift} 🙏", "bless everyone behind {gift}"], POSITIVE, {"gratitude": 0.9}),
    Form("disgust", ["{A:gross}. I feel sick", "ew, {gross}", "why is there {gross}? revolting", "lost my appetite because of {gross}", "{gross} 🤢"], NEGATIVE, {"disgust": 0.8}),
    Form("surprise", ["wait, {shock}?!", "I did not see that coming: {shock}", "{A:shock}. What?", "omg {shock}", "well that's a surprise, {shock}"], None, {"surprise": 0.8}),
    Form("embarrassment", ["I {slip} and want to sink into the floor", "so I {slip}. moving to the moon", "{A:slip}. in front of everyone.", "my face is red, I {slip}"], RATHER_NEGATIVE, {"embarrassment": 0.8}),
    Form("remorse", ["{A:wrongdoing} and I can't forgive myself", "I keep replaying it. {A:wrongdoing}.", "I'm sorry. {A:wrongdoing}.", "{A:wrongdoing}. I'd take it back if I could"], RATHER_NEGATIVE, {"remorse": 0.85, "sadness": 0.5}),
    Form("relief", ["phew, {threat} is over and all is fine", "I can breathe again: {threat} went ok", "what a weight off my shoulders, I {feat}", "turned out to be nothing. so relieved about {threat}"], RATHER_POSITIVE, {"relief": 0.85}),
    Form("hope", ["it will get better, I know it", "one step closer every day, I'll get there", "next year is ours, I can feel it", "things are looking up since I {feat}", "hang in there {person}, spring is coming"], RATHER_POSITIVE, {"optimism": 0.85}),
    Form("caring", ["hope you feel better soon {gone_you}", "sending {person} the biggest hug", "drink some water and get some rest ok?", "if you need somebody to talk to my inbox is open", "take all the time you need 💙"], RATHER_POSITIVE, {"caring": 0.85}),
    Form("curiosity", ["does anyone know how {thing} is made?", "what is the story behind {place}?", "ooh how does that work?", "so which one is older, {thing} or {thing.2}?", "why do they close on {day}s?"], NEUTRAL, {"curiosity": 0.85}),
    Form("confusion", ["I don't get it, is {thing} {plain} or {plain.2}?", "wait what? {thing} is {plain}?", "can somebody explain {thing} to me, I'm lost", "none of this makes sense to me"], (0.25, 0.70, 0.05), {"confusion": 0.8}),
    # Slang: what the words say elsewhere and what they say here.
    Form("slang/good", ["{A:thing} [slaps|goes hard|hits different|is fire|is goated|is bussin|is the bomb|is sick|is lit|is peak|is elite]", "no cap {thing} [slaps|is fire|is a vibe]", "{A:who} [ate and left no crumbs|understood the assignment|is a beast|killed it|snapped|is the GOAT]", "lowkey obsessed with {thing}", "ok but {thing} [is insane|is nuts|is wild|is stupid good]", "{A:thing} got me hyped", "rent free in my head: {thing}", "W {thing}", "{thing} supremacy", "I'm living for {thing}", "{thing} is chef's kiss", "mad respect to {place}", "{thing} had me dead 💀😂", "{thing} is wicked"], POSITIVE, {"admiration": 0.6}, share=2.5),
    Form("slang/bad", ["{A:thing} is [mid|trash|garbage|dogwater|a flop|ass|wack|cheeks|sus]", "no cap {thing} is [mid|trash|dead]", "L {thing}", "{A:thing} ain't it", "{A:thing} is giving [tax return|wet sock|group project]", "the ick: {thing}", "{thing} fell off", "big yikes {thing}", "{A:who} [is cooked|took the L|is done for]", "{thing} got me heated", "{place} finessed me out of 30 quid", "we got robbed, {thing} {did_bad}", "{thing} sucks", "{thing} blows", "{thing} is pants"], NEGATIVE, {"disapproval": 0.5, "annoyance": 0.5}, offensive=None, share=2.5),
    Form("slang/not_bad", ["{A:thing} [doesn't suck|don't miss|never flops|is no joke]", "{thing} ain't half bad", "can't lie {thing} is not mid", "not {who} eating {thing} up and loving it"], RATHER_POSITIVE),
    Form("slang/plain", ["{A:who} is chilling at {place}", "finna head to {place}", "otw to {place}", "brb, {thing}", "wyd {day}? {place}?", "hmu if you are near {place}", "idk if {thing} is {plain}"], NEUTRAL, {"neutral": 0.8}),
    # Emoji alone.
    Form("emoji/laughs", ["😂", "😂😂😂", "🤣🤣", "💀💀💀", "😭😂", "😹", "🤣 🤣 🤣", "💀😂", "😆", "😂💀"], (0.05, 0.20, 0.75), {"amusement": 0.85}),
    Form("emoji/love", ["❤️", "😍😍", "🥰", "💕💕", "❤️❤️❤️", "😘", "💛", "🫶", "💙💙", "😍🔥"], POSITIVE, {"love": 0.8}),
    Form("emoji/joy", ["🎉🎉", "😊", "🥳🥳🥳", "😁", "🙌🙌", "💃🕺", "😄", "🎊🥂", "☀️😎", "🤩"], POSITIVE, {"joy": 0.8}),
    Form("emoji/thanks", ["🙏", "🙏🙏🙏", "🙏❤️", "💐"], RATHER_POSITIVE, {"gratitude": 0.6}),
    Form("emoji/sad", ["😢", "😞😞", "💔", "😔", "💔💔💔", "☹️", "😿", "😥", "🥀", "😢💔"], NEGATIVE, {"sadness": 0.85}),
    Form("emoji/angry", ["😡", "🤬🤬", "😠", "😡😡😡", "👿", "🤬", "😤😤", "👎👎"], NEGATIVE, {"anger": 0.8, "annoyance": 0.6}, offensive=None),
    Form("emoji/scared", ["😱", "😨😨", "😰", "🫣", "😱😱😱"], RATHER_NEGATIVE, {"fear": 0.7}),
    Form("emoji/disgust", ["🤢", "🤮🤮", "🤢🤮"], NEGATIVE, {"disgust": 0.85}),
    Form("emoji/surprise", ["😮", "😲😲", "🤯", "👀", "🤯🤯🤯"], None, {"surprise": 0.6}),
    Form("emoji/plain", ["👍", "👌", "📍", "⚽", "🍕", "🚆", "📅 🕘", "👉", "🏠", "☕", "📚", "🚲", "🥾⛰️"], (0.02, 0.70, 0.28), share=0.7),
    Form("emoji/turns", ["{thing} 🙃", "wow, {thing} 🙄", "{thing} 💩", "{thing} 👎", "{thing} 🗑️", "oh {thing} 😒"], NEGATIVE, {"annoyance": 0.6}, irony=None),
    Form("emoji/lifts", ["{thing} 🔥", "{thing} 😍", "{thing} 🙌", "{thing} 💯", "{thing} ✨✨", "oh {thing} 🤩"], POSITIVE, {"admiration": 0.6}),
    # Several languages in one post: the English part carries the feeling, and the other part agrees or is plain.
    Form("mixed_language/good", ["Qué día, {thing} was so {good}", "ay {thing} is {good}, te lo juro", "mi gente, {thing} is {good}", "ok yaar {thing} was {good}", "bhai {thing} is {very} {good}", "c'est la vie, but {thing} was {good}", "na ja, {thing} was {good} though", "sobrang {good} ng {thing}, love it", "mashallah {thing} is {good}", "wallah {thing} is {good}", "omo {thing} sweet die, {good}", "walang kupas {thing}, so {good}", "bellissimo! {thing} is {good}", "danke {place}, {thing} was {good}", "merci {place}! {thing} {did_good}", "gracias {place}, {thing} {did_good}"], POSITIVE, share=1.5),
    Form("mixed_language/bad", ["Qué día, {thing} was so {bad}", "ay no, {thing} is {bad}", "dios mío, {thing} {did_bad}", "arre yaar {thing} was {bad}", "bhai {thing} is {very} {bad}", "oh là là, {thing} was {bad}", "na toll, {thing} was {bad}", "grabe, {thing} is {bad}", "astaghfirullah {thing} is {bad}", "wahala everywhere, {thing} {did_bad}", "abeg {thing} is {bad}", "mamma mia {thing} was {bad}", "mano, {thing} {did_bad}", "ugh mensch {thing} {did_bad}"], NEGATIVE, share=1.5),
    Form("mixed_language/fact", ["hola, is {thing} {plain}?", "yaar {thing} is {plain}", "bonjour, {thing} is {plain} today", "mañana {thing} is {plain}", "{thing} is {plain}, ja?", "kita kits at {place}, {time}", "vamos, meeting at {place} at {time}"], NEUTRAL),
]

LADDERS = [
    Ladder("emoji/ladder", [["{thing} 🤮"], ["{thing} 🙁"], ["{thing}"], ["{thing} 🙂"], ["{thing} 😍"]], [NEGATIVE, RATHER_NEGATIVE, None, None, POSITIVE]),
    Ladder("feeling/ladder", [["I'm {sad} about {threat}"], ["I'm ok about {threat}"], ["I'm {joy} about {threat}"]], [NEGATIVE, None, POSITIVE]),
]
