"""The small world the embedded model lives in: stories, giving scenes, agreement and facts.

Every document is drawn from a `random.Random`, so a seed fixes the text. What a test needs to be new
to the model is kept out of training here, by construction: `HELD_NAMES` never give or receive,
`held_pair` pairs never share a giving scene, `HELD_OPENINGS` never open one, and `held_nouns` pairs
never meet in an agreement sentence.
"""

from __future__ import annotations

import random
import zlib
from collections.abc import Iterator

GIRLS = (
    "Mary Anna Lucy Emma Sara Kate Jane Alice Mia Lily Rose Ella Nina Clara Julia Eva Grace Amy Molly Ruby "
    "Zoe Nora Ivy Helen"
).split()
BOYS = (
    "John Tom Ben Max Sam Jack Peter Paul Mark David James Leo Luke Adam Dan Oscar Hugo Felix Henry Simon "
    "Noah Owen Finn Eric"
).split()
NAMES = GIRLS + BOYS
HELD_NAMES = ("Clara", "Ruby", "Nora", "Hugo", "Simon", "Owen")

PLACES = (
    "store park school zoo beach farm library market garden forest river lake museum station castle village "
    "bakery playground bridge hill"
).split()
THINGS = (
    "drink ball book kite hat key cup box bag coin doll drum flute lamp map pen ring rope scarf shell spoon "
    "toy basket candle card clock coat flower letter mirror picture pillow ribbon stone ticket balloon button "
    "bell boat blanket cake apple banana cookie pear sandwich"
).split()
COLOURS = "red blue green yellow black white brown pink purple gray".split()
ANIMALS = "cat dog mouse bird fox rabbit bear horse cow pig duck hen frog monkey goat owl turtle squirrel".split()
SEATS = "mat rug chair sofa bed bench rock wall table step".split()
SEAT_WORDS = "soft warm dry old new clean small cold".split()
ANIMAL_WORDS = "small big quiet lazy clever happy shy quick funny gentle".split()
LOOKS = COLOURS + "old new clean dirty small big lovely wet dry broken".split()
NEAR = ("near", "next to", "behind", "under", "beside", "by")
PLURAL = {"mouse": "mice", "key": "keys", "toy": "toys", "fox": "foxes", "box": "boxes", "bench": "benches",
          "monkey": "monkeys"}  # fmt: skip

# feeling -> what happened before, what followed; {he} and {his} are filled in by name
FEELINGS = {
    "tired": ("had walked all day|had worked all night|had run a long way", "went to bed|took a nap|sat down"),
    "hungry": ("had missed lunch|had not eaten all day", "ate a {food}|made some soup|bought some bread"),
    "thirsty": ("had played in the sun|had run a long way", "drank some water|drank a cup of milk"),
    "cold": ("had lost {his} coat|had walked in the snow", "sat by the fire|drank hot tea"),
    "sad": ("had lost {his} {thing}|had broken {his} {thing}", "cried|went home alone|called {his} mother"),
    "happy": ("had found {his} {thing}|had won the game|had a new {thing}", "smiled|sang a song|danced|laughed"),
    "scared": ("had heard a loud noise|had seen a big bear", "ran home|hid under the bed|called for help"),
    "angry": ("had lost the game|had missed the train", "shouted|walked away|closed the door"),
    "proud": ("had won the race|had made a {thing}", "smiled|told {his} friends|called {his} mother"),
    "bored": ("had nothing to do|had to stay inside", "read a book|painted a picture|played a game"),
}
HELD_FEELINGS = ("cold", "proud")  # never followed by "because" in training

CAPITALS = {
    "France": "Paris", "Italy": "Rome", "England": "London", "Germany": "Berlin", "Spain": "Madrid",
    "Japan": "Tokyo", "Greece": "Athens", "Egypt": "Cairo", "Russia": "Moscow", "Austria": "Vienna",
    "Norway": "Oslo", "Ireland": "Dublin", "China": "Beijing", "Peru": "Lima",
}  # fmt: skip
OPPOSITES = (
    "hot cold|big small|fast slow|happy sad|old young|up down|left right|day night|good bad|light dark|wet dry|"
    "high low|open closed|full empty|hard soft|loud quiet|rich poor|strong weak|clean dirty|early late|long short"
)
OPPOSITE = {a: b for pair in OPPOSITES.split("|") for a, b in (pair.split(), pair.split()[::-1])}

OPENINGS = (
    "After {x} and {y} went to the {place},", "While {x} and {y} were at the {place},",
    "When {x} and {y} met at the {place},", "When {x} and {y} came back from the {place},",
    "{x} and {y} went to the {place}.", "{x} and {y} were at the {place}.", "{x} met {y} at the {place}.",
    "One day, {x} and {y} walked to the {place}.", "Then {x} and {y} played in the {place}.",
    "{x} and {y} had a good day at the {place}.", "Once {x} and {y} sat by the {place}.",
    "In the morning {x} saw {y} at the {place}.", "{x} went to the {place} with {y}.",
)  # fmt: skip
HELD_OPENINGS = (
    "When {x} and {y} went to the {place},", "After {x} and {y} met at the {place},",
    "One day, {x} and {y} were at the {place}.", "Then {x} saw {y} at the {place}.",
)  # fmt: skip
DISTRACTORS = (
    "", "", "", "", "{other} was at home.", "The day was {weather}.", "They saw {animal}.", "It was very {weather}.",
    "They played for a long time.", "{x} was {feeling}.", "{y} was {feeling}.", "{other} did not come.",
    "They met {other} there.",
)  # fmt: skip
GIFTS = (
    "{giver} gave {thing} to", "{giver} handed {thing} to", "{giver} showed {thing} to", "{giver} sold {thing} to",
    "{giver} sent {thing} to", "{giver} threw {thing} to", "{giver} had {thing} and gave it to",
    "{giver} found {thing} and gave it to", "{giver} wanted to give {thing} to", "{giver} gave the {colour} {noun} to",
)  # fmt: skip
THANKS = (
    "{Him} said thank you.", "{Him} was very happy.", "{Him} liked it very much.", "{Him} put it in {his} bag.",
    "{Him} smiled at {giver}.", "{taker} smiled at {giver}.", "{taker} said thank you to {giver}.",
    "{Him} said thank you to {giver}.", "Then {taker} and {giver} went home.",
)  # fmt: skip
GREETINGS = (
    "{one} smiled at {two}", "{one} waved to {two}", "{one} said hello to {two}", "{one} played with {two}",
    "{one} talked to {two}", "{one} ran to {two}", "{one} sat next to {two}", "{one} sang a song with {two}",
)  # fmt: skip
WEATHER = "cold hot wet dark sunny long".split()


def held_pair(a: str, b: str) -> bool:
    """Whether two names are kept from ever sharing a giving scene in training (about one pair in ten)."""
    return {a, b} == {"Mary", "John"} or zlib.crc32(" ".join(sorted((a, b))).encode()) % 10 == 0


def held_nouns(a: str, b: str) -> bool:
    """Whether noun `b` never stands between noun `a` and its verb in training (about one pair in ten)."""
    return zlib.crc32(f"{a} {b}".encode()) % 10 == 0


def plural(noun: str) -> str:
    """The plural of a noun of this world."""
    return PLURAL.get(noun, noun[:-1] + "ies" if noun.endswith("y") else noun + "s")


def a_or_an(word: str) -> str:
    """The word with its article."""
    return ("an " if word[0] in "aeiou" else "a ") + word


def he_his(name: str) -> tuple[str, str]:
    """Subject and possessive pronoun of a name."""
    return ("she", "her") if name in GIRLS else ("he", "his")


def capital(sentence: str) -> str:
    """The sentence with its first letter raised."""
    return sentence[:1].upper() + sentence[1:]


def scene(rng: random.Random, x: str, y: str, openings: tuple[str, ...]) -> str:
    """The start of a scene: two people somewhere, and at times a sentence about something else."""
    opening = rng.choice(openings)
    distractor = rng.choice(DISTRACTORS) if opening.endswith(".") else ""
    return " ".join(part for part in (opening, distractor) if part).format(
        x=x, y=y, place=rng.choice(PLACES), animal=a_or_an(rng.choice(ANIMALS)), weather=rng.choice(WEATHER),
        other=rng.choice([name for name in NAMES if name not in (x, y, *HELD_NAMES)]),
        feeling=rng.choice(list(FEELINGS)),
    )  # fmt: skip


def giving_prompt(rng: random.Random, x: str, y: str, giver: str, openings: tuple[str, ...] = OPENINGS) -> str:
    """A scene up to the receiver's name: two people somewhere, then one of them gives something to ..."""
    noun = rng.choice(THINGS)
    gift = rng.choice(GIFTS).format(giver=giver, thing=a_or_an(noun), noun=noun, colour=rng.choice(COLOURS))
    return f"{scene(rng, x, y, openings)} {gift}"


def two_names(rng: random.Random, names: list[str]) -> tuple[str, str]:
    """Two names that training lets meet."""
    while True:
        x, y = rng.sample(names, 2)
        if not held_pair(x, y):
            return x, y


def giving(rng: random.Random) -> str:
    """A giving scene with names, pair and opening that training may use."""
    x, y = two_names(rng, [name for name in NAMES if name not in HELD_NAMES])
    giver, taker = (x, y) if rng.random() < 0.5 else (y, x)
    text = f"{giving_prompt(rng, x, y, giver)} {taker}."
    if rng.random() < 0.7:
        he, his = he_his(taker)
        text += " " + rng.choice(THANKS).format(Him=capital(he), his=his, giver=giver, taker=taker)
    return text


def meeting(rng: random.Random) -> str:
    """Two people of any name somewhere, and what one does to the other: names come back, nothing is given."""
    x, y = two_names(rng, NAMES)
    one, two = (x, y) if rng.random() < 0.5 else (y, x)
    text = f"{scene(rng, x, y, OPENINGS)} {rng.choice(GREETINGS).format(one=one, two=two)}."
    if rng.random() < 0.5:
        text += f" {rng.choice(GREETINGS).format(one=two, two=one)}."
    return text


def feeling(rng: random.Random) -> str:
    """Someone feels something for a reason and acts on it; the pronouns follow the name."""
    name, mood = rng.choice(NAMES), rng.choice(list(FEELINGS))
    why, then = (rng.choice(side.split("|")) for side in FEELINGS[mood])
    he, his = he_his(name)
    because = mood not in HELD_FEELINGS and rng.random() < 0.6
    text = f"{name} was {mood} because {{he}} {why}. " if because else f"{name} {why}. {{He}} was {mood}. "
    text += rng.choice([f"So {{he}} {then}.", f"Then {{he}} {then}.", f"{name} {then}.", f"{{He}} {then}."])
    return text.format(
        he=he, He=capital(he), his=his, food=rng.choice("cookie pear banana cake".split()), thing=rng.choice(THINGS)
    )


def losing(rng: random.Random) -> str:
    """Someone loses a thing, a friend finds it: names, pronouns and a thing come back."""
    name, friend = rng.sample(NAMES, 2)
    (he, his), (fhe, fhis) = he_his(name), he_his(friend)
    noun, place, colour = rng.choice(THINGS), rng.choice(PLACES), rng.choice(COLOURS)
    lines = [
        rng.choice([f"{name} had a {colour} {noun}.", f"One day, {name} took {his} {noun} to the {place}."]),
        rng.choice([f"But {he} lost {his} {noun} at the {place}.", f"{capital(he)} lost the {noun} at the {place}."]),
        rng.choice([f"{name} looked for {his} {noun} all day.", f"{capital(he)} was very sad.", f"{name} cried."]),
        rng.choice([f"Then {friend} found the {noun}.", f"{friend} came and {fhe} found it.",
                    f"{friend} said that {fhe} had seen the {noun}."]),
        rng.choice([f"{name} was happy again.", f"{name} and {friend} went home.", f"{friend} helped {fhis} friend."]),
    ]  # fmt: skip
    return " ".join(lines[: rng.choice((3, 4, 5))])


def outing(rng: random.Random) -> str:
    """Someone, or a pair, goes somewhere and sees animals do things."""
    name, friend = rng.sample(NAMES, 2)
    he, his = he_his(name)
    place, (one, two) = rng.choice(PLACES), rng.sample(ANIMALS, 2)
    start, who, they = rng.choice([
        (f"One day, {name} went to the {place} with {his} {one}.", name, he),
        (f"{name} and {friend} went to the {place}.", friend, "they"),
        (f"When {name} and {friend} went to the {place}, they saw {a_or_an(one)}.", name, "they"),
        (f"{name} walked to the {place} and saw {a_or_an(one)}.", name, he),
    ])  # fmt: skip
    middle = rng.choice([f"The {one} saw {a_or_an(two)}.", f"The {one} was {rng.choice(ANIMAL_WORDS)}.",
                         f"The {one} ran after {a_or_an(two)}.",
                         f"The {one} sat on the {rng.choice(SEATS)}."])  # fmt: skip
    end = rng.choice([f"{who} laughed.", f"Then {they} went home.", f"{who} liked the {one} very much.",
                      f"{capital(they)} played with the {one}.", f"Then the {one} ran away."])  # fmt: skip
    return f"{start} {middle} {end}"


def sitting(rng: random.Random) -> str:
    """An animal sits somewhere; the cat sat on the mat lives here."""
    animal, seat = rng.choice(ANIMALS), rng.choice(SEATS)
    name = rng.choice(NAMES)
    lines = [f"The {animal} sat on the {seat}.", f"The {seat} was {rng.choice(SEAT_WORDS)}.",
             rng.choice([f"{name} saw the {animal} and smiled.", f"The {animal} was {rng.choice(ANIMAL_WORDS)}.",
                         f"Then {name} sat on the {seat} too.", f"The {animal} was happy on the {seat}."])]  # fmt: skip
    return " ".join(lines)


def agreement_prompt(head: str, between: str, many: bool, where: str) -> str:
    """A subject whose number differs from that of the noun next to the verb."""
    subject, other = (plural(head), between) if many else (head, plural(between))
    return f"The {subject} {where} the {other}"


def agreement(rng: random.Random) -> str:
    """One or two sentences in which the verb agrees with the subject, not with the noun beside it."""
    lines = []
    for _ in range(rng.choice((1, 2))):
        while True:
            head, between = rng.sample(THINGS + ANIMALS, 2)
            if not held_nouns(head, between):
                break
        many = rng.random() < 0.5
        if rng.random() < 0.7:
            subject = agreement_prompt(head, between, many, rng.choice(NEAR))
        elif rng.random() < 0.5:
            noun, other = (plural(head), plural(between)) if many else (head, between)
            subject = f"The {noun} {rng.choice(NEAR)} the {other}"
        else:
            subject = f"The {plural(head) if many else head}"
        verb = rng.choice(("are", "were") if many else ("is", "was"))
        lines.append(f"{subject} {verb} {rng.choice(LOOKS)}.")
    return " ".join(lines)


def fact(rng: random.Random) -> str:
    """One or two facts of the world: capitals and opposites."""
    country, word = rng.choice(list(CAPITALS)), rng.choice(list(OPPOSITE))
    lines = [f"The capital of {country} is {CAPITALS[country]}.", f"The opposite of {word} is {OPPOSITE[word]}."]
    rng.shuffle(lines)
    return " ".join(lines[: rng.choice((1, 2))])


KINDS = {giving: 30, meeting: 18, feeling: 16, losing: 13, outing: 9, sitting: 4, agreement: 6, fact: 4}


def document(rng: random.Random) -> str:
    """One document of the training distribution."""
    return rng.choices(list(KINDS), weights=list(KINDS.values()))[0](rng)


def documents(seed: int) -> Iterator[str]:
    """An endless, reproducible stream of documents."""
    rng = random.Random(seed)
    while True:
        yield document(rng)
