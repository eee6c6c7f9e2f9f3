"""Contrast sets of strength, concession and reported opinion."""

from __future__ import annotations

from contrast.forms import MIXED, NEGATIVE, NEUTRAL, NOT_NEGATIVE, NOT_POSITIVE, POSITIVE, RATHER_NEGATIVE, RATHER_POSITIVE, Form, Ladder

FORMS = [
    # The part that the writer ends on, or the main clause, decides.
    Form("concession/good", ["{A:thing} was {bad}, but {thing.2} {did_good} and that's what counts", "Although {thing} was {bad}, we had a {good} time thanks to {thing.2}", "[Despite|In spite of] {thing} being {bad}, I loved {place}", "Yes, {thing} is {bad}. Still my favourite by a mile.", "{A:thing} may be {bad}, I would go back to {place} tomorrow", "say what you want about {thing}, {thing.2} is {good}", "{A:thing} started out {bad} and ended up {good}", "hated {thing} at first, now I can't get enough of it", "Even with {thing} being {bad}: what a day at {place}!", "{A:thing} {did_good}, even if {thing.2} was {bad}", "thought I'd hate {place}. I was wrong, {thing} {did_good}"], RATHER_POSITIVE, share=2),
    Form("concession/bad", ["{A:thing} was {good}, but {thing.2} {did_bad} and that's what counts", "Although {thing} was {good}, {thing.2} spoiled it for us", "[Despite|In spite of] {thing} being {good}, I won't return to {place}", "Yes, {thing} is {good}. Doesn't make up for {thing.2}.", "{A:thing} may be {good}, I would not go back to {place}", "say what you want about {thing}, {thing.2} is {bad}", "{A:thing} started out {good} and ended up {bad}", "loved {thing} at first, now I can't stand it", "Even with {thing} being {good}: never again, {place}", "{A:thing} {did_bad}, even if {thing.2} was {good}", "thought I'd love {place}. I was wrong, {thing} {did_bad}", "pretty sure {thing} was meant to be {good}. shame it {did_bad}"], RATHER_NEGATIVE, share=2),
    Form("concession/even", ["{A:thing} was {good}, {thing.2} was {bad}.", "good: {thing}. bad: {thing.2}.", "on the one hand {thing} is {good}, on the other {thing.2} is {bad}", "{A:thing} is {bad} and {good} at the same time"], MIXED),
    Form("middling", ["{A:thing} was ok I guess", "{A:thing} is fine, nothing special", "{A:thing} was so-so", "meh, {thing}", "{A:thing} does the job", "neither {good} nor {bad}, {thing}", "not great, not terrible: {thing}", "{A:thing} was average {when}"], (0.28, 0.60, 0.12), share=1.5),
    # Whose opinion counts: the writer's.
    Form("reported/disagrees_good", ["{A:who} says {thing} is {bad}. I think it's {good}.", "{A:critic} called {thing} {bad}, I loved every bit of it", "{A:who} hated {thing}. Couldn't disagree more", "I don't care what {critic} say, {thing} is {good}", "apparently {thing} is {bad}? it {did_good}, so there", "unpopular opinion: {thing} is {good}", "{A:who} complains about {place} all day but I like it"], POSITIVE, {"approval": 0.6}, share=1.5),
    Form("reported/disagrees_bad", ["{A:who} says {thing} is {good}. I think it's {bad}.", "{A:critic} called {thing} {good}, I couldn't wait for it to end", "{A:who} loved {thing}. Couldn't disagree more", "I don't care what {critic} say, {thing} is {bad}", "apparently {thing} is {good}? it {did_bad}, so there", "unpopular opinion: {thing} is {bad}", "{A:who} raves about {place} all day but I can't stand it"], NEGATIVE, {"disapproval": 0.6}, share=1.5),
    Form("reported/agrees_good", ["{A:who} told me {thing} is {good} and it really is", "{A:critic} were right, {thing} {did_good}", "as {who} said: {good}. I second that"], POSITIVE, {"approval": 0.7}),
    Form("reported/agrees_bad", ["{A:who} told me {thing} is {bad} and it really is", "{A:critic} were right, {thing} {did_bad}", "as {who} said: {bad}. I second that"], NEGATIVE, {"disapproval": 0.7}),
    Form("reported/only", ["{A:who} says {thing} is {bad}. I haven't tried it myself.", "{A:critic} call {thing} {good}, no idea if that's true", "According to {who}, {thing} is {bad}. Thoughts?", "someone told me {thing} is {good}. can anybody confirm?", "Read that {thing} {did_bad}. Will find out on {day}.", "{A:who} asked whether {thing} is {good}."], (0.16, 0.74, 0.10), {"curiosity": 0.5}, share=1.5),
    Form("hypothetical", ["If {thing} were {good}, I would tell you", "would be nice if {thing} was {good} for a change", "I wish {thing} were {good}", "{thing} could have been {good}", "If only {thing} had been {good} {when}", "{A:thing} should be {good} for that price, it isn't"], RATHER_NEGATIVE, {"disappointment": 0.6}),
    Form("hypothetical/bad", ["I was afraid that {thing} might be {bad}. All good.", "imagine how {bad} {thing} could have been. we got lucky", "It could have been {bad}. It went fine."], NOT_NEGATIVE, {"relief": 0.7}),
    Form("condition/fact", ["If {thing} is {plain}, I'll come by at {time}.", "Let me know whether {thing} is {plain} or {plain.2}", "Unless {thing} is {plain}, we start at {time}."], NEUTRAL, {"neutral": 0.9}),
    Form("comparison/better", ["{A:thing} is so much better than it was in spring", "{thing} beats {thing.2} every time", "I prefer {place} now, {thing} is {good} there", "way better than last time, {thing} {did_good}"], POSITIVE),
    Form("comparison/worse", ["{A:thing} is so much worse than it was in spring", "even {thing.2} beats {thing}", "{place} has gone downhill, {thing} is {bad} now", "way worse than last time, {thing} {did_bad}"], NEGATIVE, {"disappointment": 0.7}),
    Form("too_good", ["too {good} for words, {thing}", "{A:thing} is insanely {good}", "dangerously {good}, {thing}", "it should be illegal for {thing} to be this {good}", "damn, {thing} is {good}", "bloody hell {thing} is {good}"], POSITIVE, {"admiration": 0.7}, offensive=None),
    Form("not_that", ["{A:thing} isn't that {good}", "{A:thing} isn't all that {good} {when}", "not as {good} as {critic} made it out to be"], NOT_POSITIVE, {"disappointment": 0.5}),
    Form("not_that_bad", ["{A:thing} isn't that {bad}", "{A:thing} isn't all that {bad} really", "not as {bad} as {critic} made it out to be", "could be worse, {thing}"], NOT_NEGATIVE, share=1.5),
]

LADDERS = [
    Ladder("intensity/good", [["{A:thing} was {bit} {good}"], ["{A:thing} was {good}"], ["{A:thing} was {very} {good}"]], [None, POSITIVE, POSITIVE], share=1.5),
    Ladder("intensity/bad", [["{A:thing} was {very} {bad}"], ["{A:thing} was {bad}"], ["{A:thing} was {bit} {bad}"]], [NEGATIVE, NEGATIVE, None], share=1.5),
    Ladder("capitals", [["I [hated|can't stand] {thing}!!!", "I [HATED|HATE] {thing}"], ["I hated {thing}", "I hate {thing}"], ["I love {thing}", "I loved {thing}"], ["I LOVE {thing}!!!", "I [LOVED|ADORE] {thing}"]], [NEGATIVE, NEGATIVE, POSITIVE, POSITIVE]),
    Ladder("but", [["{A:thing} was {good} but {thing.2} was {bad}"], ["{A:thing.2} was {bad} but {thing} was {good}"]], [RATHER_NEGATIVE, RATHER_POSITIVE]),
    Ladder("who", [["{A:who} loves {thing}, I think it's {bad}"], ["{A:who} thinks {thing} is {bad}, I love it"]], [NEGATIVE, POSITIVE]),
]
