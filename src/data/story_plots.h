// The plots. "^" ends the opening; slots and branches as in story.h. Written for this project; no
// sum and no number is in them, so that a story never gives away a held-out task.
#pragma once

#include <string_view>

namespace hadal::data {

inline constexpr std::string_view kPlots[] = {
    // Lost and found.
    "{Once} [a {kind} {child} named|a {child} called] {name} [who had|with] a {color} {thing}. "
    "{name} [loved the {thing} very much|took the {thing} everywhere|played with the {thing} every "
    "day]."
    "^ One {weather} [morning|afternoon|day], {he} [went to|walked to] {place} with {his} {adult}. "
    "[When they came home|On the way home|After lunch], the {color} {thing} was gone. "
    "\"[Oh no|Oh dear]! [Where is my {thing}|I have lost my {thing}]!\" [said|cried] {name}. {He} "
    "[felt very sad|began to cry]. "
    "{friend} heard {him} and [came to help|ran over]. \"[Do not worry|Do not be sad],\" said "
    "{friend}. \"[We will look for it together|Let us look for it together].\" "
    "They looked [under the bench|behind the big tree|under the bed], but it was not there. They "
    "looked [in the tall grass|next to the old wall|behind the door], but it was not there. "
    "Then {friend} saw something {color} {at}. \"[Look|Come and see], {name}! [Is that|Could that "
    "be] your {thing}?\" "
    "It was! {name} [hugged|thanked] {friend} and [held the {thing} tight|smiled from ear to ear]. "
    "{Ending}",

    // Sharing.
    "{Once} [a {kind} {child} named|a {child} called] {name}. [One day|One {weather} day], {his} "
    "{adult} gave {him} some {food}."
    "^ \"[Thank you|Thank you so much]!\" said {name}. {He} [took the {food} and went to|carried "
    "the {food} to] {place}. "
    "{At_place}, {he} [saw|met] {friend}. {friend} [looked sad|was very quiet|sat alone]. \"[What "
    "is wrong|Why are you sad], {friend}?\" asked {name}. "
    "\"[I am hungry|I forgot my lunch|I have nothing to eat],\" said {friend}. "
    "{name} looked at the {food}. {He} [wanted to eat it all|was hungry too], but {he} [wanted to "
    "be kind|did not want {friend} to be sad]. "
    "\"[You can have half|We can share] {my_food},\" said {name}. {friend} [smiled|was so happy]. "
    "They sat down [together|side by side] and ate the {food}. It [tasted very good|was the best "
    "{food} they had ever had]. "
    "[From that day on, {name} and {friend} were good friends|After that, {name} and {friend} "
    "always shared their lunch]. ",

    // A small animal in trouble.
    "{Once} [a {kind} {child} named|a {child} called] {name} who loved animals. [One {weather} "
    "day|One {weather} morning], {he} went for a walk {at}."
    "^ [Suddenly|Then] {he} heard a [small|soft|tiny] sound. It was a little {animal}. The "
    "{animal} was [stuck in a bush|caught under a branch|stuck in the mud]. "
    "\"[Please help me|Help me, please],\" said the {animal}. \"I [can not get out|want to go "
    "home].\" "
    "{name} [was a little scared|was not sure what to do], but {he} wanted to help. {He} [pulled "
    "and pulled|worked slowly and carefully]. {friend} came and helped too. "
    "At last, the {animal} was free. \"[Thank you|You are very kind],\" said the {animal}. \"[I "
    "will never forget this|You saved me].\" "
    "[The next day|Some days later], {name} could not find the way home {from}. It was getting "
    "dark. {He} was [afraid|very worried]. "
    "Then the little {animal} [came out of the grass|came to {him}]. \"Follow me,\" it said. \"[I "
    "know the way|I will take you home].\" "
    "{name} followed the {animal} and soon {he} was home. {His} {adult} [gave {him} a big hug|was "
    "so glad to see {him}]. "
    "[{name} learned that a kind act comes back to you|{name} was glad that {he} had helped the "
    "{animal}]. ",

    // Learning something.
    "{name} was a {kind} {child}. {He} wanted to learn how to {skill}."
    "^ {friend} could already {skill}, and [it looked so easy|it looked like fun]. [One {weather} "
    "day|One day], {name} went to {place} to try. "
    "The first time, {he} [fell down|did it all wrong]. The second time, {he} [fell down again|did "
    "it wrong again]. \"[I can not do it|This is too hard]!\" said {name}. "
    "{His} {adult} [smiled|sat down next to {him}]. \"[It is hard at first|Nobody can do it at "
    "first],\" {his} {adult} said. \"[You must try again and again|Keep trying].\" "
    "So {name} [tried again|did not give up]. {He} [tried every day|practiced every morning]. "
    "{friend} [helped {him}|showed {him} how]. "
    "[After many days|At last], {name} could {skill}! \"[Look at me|I did it]!\" {he} "
    "[shouted|called]. {friend} [clapped|cheered]. "
    "{name} was [very proud|so proud]. {He} [had learned to never give up|knew that it is good to "
    "keep trying]. ",

    // A thing in the rain.
    "[It was a rainy day|It rained and rained all day]. {name} and {friend} [could not go to "
    "{place}|had to stay inside]."
    "^ \"[I am bored|There is nothing to do],\" said {name}. {friend} [thought for a moment|had an "
    "idea]. \"[Let us make something|We can make something],\" said {friend}. "
    "They found [some paper and some string|an old box and some paint]. First they [cut|folded] "
    "it. Then they painted it {color}. [Soon|After a while], they had made a {color} {thing}. "
    "\"[It is beautiful|What a lovely {thing}]!\" said {his} {adult}. "
    "[Then the rain stopped|At last the sun came out]. {name} and {friend} [ran outside|put on "
    "their boots and went outside]. They took the {color} {thing} to {place}. "
    "They played with it until [it was dark|it was time for dinner]. \"[I like rainy days "
    "now|Rainy days can be fun],\" said {name}. {friend} [laughed and agreed|smiled and said, \"Me "
    "too\"]. ",

    // The broken thing and the truth.
    "{Once} [a {child} named|a {child} called] {name}. {His} {adult} had a {color} {thing} that "
    "was very [old|special]."
    "^ \"[Please be careful with it|Please do not touch it],\" {his} {adult} said. But {name} "
    "wanted to [hold it|play with it] [just once|for a little while]. "
    "When nobody was looking, {he} took the {thing}. [Crash|Oh no]! It fell on the floor and "
    "broke. {name} was [scared|afraid]. {He} hid the {thing} [under the bed|behind a chair]. "
    "{friend} saw it. \"[You should tell the truth|You must tell your {adult}],\" said {friend}. "
    "{name} [thought about it all day|did not want to, but {he} knew that {friend} was right]. "
    "In the evening, {name} went to {his} {adult}. \"I broke your {color} {thing},\" {he} said. "
    "\"I am [so sorry|very sorry].\" "
    "{His} {adult} [was quiet for a moment|looked at {him}]. \"[Thank you for telling the truth|I "
    "am glad that you told me],\" {his} {adult} said. \"[We can fix it together|Let us fix it "
    "together].\" "
    "They [used some glue|worked until bedtime], and soon the {thing} was [almost as good as "
    "new|whole again]. {name} [felt much better|was happy again]. {He} [always told the truth "
    "after that|had learned to tell the truth]. ",

    // Afraid of the dark.
    "{name} was a {kind} {child} who was afraid of the dark. Every night, {he} [hid under the "
    "blanket|asked for a light]."
    "^ One night, {he} heard a strange sound. [Tap, tap, tap|Scratch, scratch, scratch]. \"[Who is "
    "there|What is that]?\" asked {name}. {His} heart [beat fast|went boom, boom]. "
    "{He} [called {his} {adult}|woke {his} {adult}]. They took a [lamp|candle] and looked [out of "
    "the window|behind the door]. There sat a little {animal}! It was [cold and wet|cold and "
    "hungry]. "
    "\"[It is only a {animal}|It is just a little {animal}],\" said {his} {adult}. \"[It is more "
    "scared than you|It is afraid too].\" "
    "{name} gave the {animal} some {food} and a [warm|soft] blanket. The {animal} [fell "
    "asleep|closed its eyes]. {name} [was not afraid any more|felt brave]. "
    "[In the morning|The next morning], {he} told {friend} about it. \"[You were very brave|I wish "
    "I had been there],\" said {friend}. "
    "From then on, {name} [slept without a light|was not afraid of the dark]. ",

    // The seed.
    "[One spring day|One {weather} day in spring], {name} found a [tiny|small] seed {at}. {He} "
    "[showed it to|took it to] {his} {adult}."
    "^ \"[What is it|What will it be]?\" asked {name}. \"[Plant it and see|Put it in the ground "
    "and wait],\" said {his} {adult}. "
    "So {name} [dug a little hole|made a hole in the soft ground] and put the seed in it. {He} "
    "gave it water every day. {friend} [came to look|came every day to see it]. "
    "[For a long time|For many days], nothing happened. \"[Maybe it is a bad seed|It will never "
    "grow],\" said {friend}. But {name} [waited|did not give up]. {He} [kept giving it water|sang "
    "to it every evening]. "
    "Then one morning, there was a small green leaf! It grew and grew. [In the summer|When summer "
    "came], it was a tall plant with a big {color} flower. "
    "\"[It is the most beautiful flower in the world|How beautiful it is]!\" said {friend}. {name} "
    "[smiled|was proud]. "
    "{He} had learned that [good things take time|it is good to wait]. ",

    // The present.
    "[Tomorrow was|The next day was] {friend}'s birthday. {name} wanted to give {fhim} a "
    "[special|very nice] present."
    "^ But {he} had no money. {He} [sat down and thought|thought and thought]. \"[I can make a "
    "present|I will make something myself],\" {he} said. "
    "{He} [went to|walked to] {place} and found some [pretty stones|soft wood|bright leaves]. {He} "
    "worked all day. {His} {adult} helped {him} a little. "
    "In the evening, {he} had made a {color} {thing}. It was [not perfect|a bit crooked], but it "
    "was [made with love|very pretty]. "
    "[On the birthday|The next day], there were many big presents. {name} [was shy|felt worried]. "
    "{He} gave {friend} the {thing}. \"I made it for you,\" {he} said. "
    "{friend} opened the [box|paper] and [smiled|laughed with joy]. \"A {color} {thing}! [This is "
    "the best present of all|I love it]!\" {fhe} said. "
    "{name} [felt warm inside|was very happy]. The two friends [ate cake and played|danced and "
    "played] until [the stars came out|it was time to go home]. ",

    // Two friends quarrel.
    "{name} and {friend} were best friends. [Every day|After school] they played {at}."
    "^ One day they found a {color} {thing}. \"[It is mine|I saw it first]!\" said {name}. \"[No, "
    "it is mine|No, I saw it first]!\" said {friend}. "
    "They [pulled at it|shouted at each other]. {friend} [went home|ran away] and {name} was alone "
    "with the {thing}. {He} tried to play, but it was [no fun alone|not fun without {friend}]. "
    "{name} [missed|thought about] {friend}. {He} went to {friend}'s house and knocked on the "
    "door. \"I am sorry,\" said {name}. \"[A friend is better than a {thing}|You are more "
    "important than a {thing}].\" "
    "\"I am sorry too,\" said {friend}. [They hugged|They shook hands]. \"[Let us play with it "
    "together|We can take turns].\" "
    "So they [took the {color} {thing} back to {place}|played with the {color} {thing} all "
    "afternoon]. {name} and {friend} [never fought over it again|were best friends again]. ",

    // The animal that wanted something.
    "{Once} a little {animal} named {name}. {name} lived {at} with {his} {adult}."
    "^ {name} [was small|was the smallest of all], but {he} had a big dream. {He} wanted to [see "
    "the sea|climb the highest hill|see the moon from the top of the hill]. "
    "\"[You are too small|It is too far],\" said the other animals. But {friend} the {animal2} "
    "said, \"[I will go with you|Let us go together].\" "
    "[So they set off|So off they went] on a {weather} morning. They walked [over the "
    "bridge|through the woods] and [past the old mill|across the field]. When {name} was tired, "
    "{friend} [told a funny story|sang a song]. When {friend} was hungry, {name} shared {his} "
    "{food}. "
    "[In the evening|When the sun went down], they were there. \"[Look how beautiful it is|It is "
    "even better than I thought]!\" said {name}. {friend} [smiled|nodded]. "
    "They sat there [for a long time|until the stars came out]. \"[You are never too small to have "
    "a big dream|With a friend, nothing is too far],\" said {name}. Then the {animal} and the "
    "{animal2} [walked home together|went home, tired and happy]. ",

    // Helping at the market.
    "{name} and {his} {adult} [went to the market|were at the market]. {name} wanted to buy a "
    "{color} {thing}.^ {He} had [saved|kept] {his} coins for a long time. At the market, {he} saw "
    "an old {elder} with a little {animal}. \"[Please|Excuse me],\" the old {elder} said, \"my "
    "{animal} has had nothing to eat today.\" {name} looked at the {color} {thing}. Then {he} "
    "looked at the {animal}. It was [so thin|very weak]. {name} [took out {his} coins|made up "
    "{his} mind]. {He} bought some {food} for the {animal}. The {animal} ate it all and [jumped "
    "for joy|licked {his} hand]. \"You have a [good|kind] heart,\" {his} {adult} said. {name} had "
    "no coins left, but {he} was [not sad|happy]. On {his} birthday, {friend} [came with a big "
    "bag|brought {him} a bag]. In the bag was the {color} {thing}! \"[Your {adult} told me what "
    "you did|Everybody knows what you did at the market],\" said {friend}. {name} [was so "
    "surprised|could not stop smiling]. ",

    // The race.
    "[Every summer|Every year] there was a race {at}. {name} wanted to win [so much|more than "
    "anything]. {He} [ran every morning|trained every day]."
    "^ On the day of the race, {friend} stood next to {him}. \"[Good luck|May the best one win],\" "
    "said {friend}. [One, two, three, go!|The bell rang and off they went!] "
    "{name} ran as fast as {he} could. {He} was [the first|in front of all the others]. Then {he} "
    "heard a cry. {friend} had [fallen down|hurt {fhis} foot]. "
    "{name} [stopped|looked back]. If {he} helped, {he} would not win. But {friend} was {his} "
    "friend. {He} [ran back|turned around] and [helped {fhim} up|took {fhim} by the hand]. "
    "They [walked|went] to the end together. They were the last, but everybody [clapped|cheered "
    "for them]. "
    "{His} {adult} [hugged {him}|was very proud]. \"[You did not win the race, but you won a "
    "friend|Helping is better than winning],\" {his} {adult} said. "
    "{name} [smiled|nodded]. {He} [knew that it was true|was not sad at all]. ",

    // Snow.
    "One morning, {name} looked out of the window. [Everything was white|There was snow "
    "everywhere]! \"[Snow! Snow|Look at all the snow]!\" {he} [shouted|called]."
    "^ {He} put on {his} {color} [coat|scarf] and [ran outside|went out]. {friend} was already "
    "there. \"[Let us make a snowman|Shall we make a snowman]?\" asked {friend}. "
    "First they made a big ball. Then they made a small ball and put it on top. \"[He needs a "
    "nose|He has no face],\" said {name}. {He} [ran home and asked|went to] {his} {adult} [for a "
    "carrot|and got a carrot]. "
    "They gave the snowman two stones for eyes and a {color} {thing}. \"[Now he looks happy|Now he "
    "is not alone],\" said {friend}. "
    "[They played in the snow all day|They danced around the snowman]. When it was dark, {name} "
    "drank some hot [milk|tea] at home. "
    "\"[Will he be there tomorrow|Will he be cold tonight]?\" {he} asked. {His} {adult} laughed. "
    "\"[He likes the cold|Snowmen like the cold],\" {his} {adult} said. "
    "The next day, a little {animal} sat next to the snowman. [{name} and {friend} had a new "
    "friend|It had found a friend too]. ",

    // Cooking together.
    "{name} wanted to make [a surprise for {his} {adult}|something nice for {his} {adult}]. \"I "
    "will make some {dish},\" {he} said.^ But {name} had never made {dish} before. {He} asked "
    "{friend} to help. \"[First we must wash our hands|First we need a big bowl],\" said {friend}. "
    "They [mixed and mixed|worked hard]. Soon there was [flour|sugar] on the table, on the floor "
    "and on {name}'s nose. {friend} [laughed|could not stop laughing]. Then they smelled "
    "something. \"[Oh no, it is burning|Quick, it is burning]!\" cried {name}. The {dish} was "
    "[black|burned]. {name} [wanted to cry|was very sad]. \"[We can try again|Let us start "
    "again],\" said {friend}. This time they [watched it carefully|did not leave it alone]. The "
    "{dish} [looked perfect|smelled wonderful]. When {his} {adult} came home, there was some "
    "{dish} on the table, with a little {color} flower next to it. \"[What a lovely surprise!|Did "
    "you make this for me?]\" {his} {adult} said. {name} [smiled proudly|nodded]. They ate it "
    "together, and [there was nothing left|{friend} had two plates]. ",

    // The boat.
    "{name} and {friend} found an old boat by the lake. It was {color} and [a little broken|had a "
    "small hole]. \"[We can fix it|Let us make it new],\" said {name}."
    "^ They [asked {his} {adult} for help|went to {his} {adult}]. Together they [closed the "
    "hole|worked for three days] and gave it a name. They called it the {Animal}. "
    "On a {weather} day, they [put the boat on the water|pushed the boat into the water]. It [did "
    "not sink|floated]! They rowed far out on the lake. "
    "[Suddenly|Then] a strong wind came. The waves [grew bigger and bigger|were very high]. "
    "{friend} was afraid. \"[Hold on tight|Do not be afraid],\" said {name}. \"[Row with me|We "
    "must row together].\" "
    "They rowed and rowed. {name} [counted|sang], and {friend} [pulled|rowed] with all {fhis} "
    "strength. At last, they [came to the shore|felt the sand under the boat]. "
    "{His} {adult} [was waiting for them|ran to meet them] with [a blanket|dry clothes] and some "
    "{food}. \"[You were brave|You stayed together, and that was good],\" {his} {adult} said. "
    "[The next time, they looked at the sky first|From then on, they only went out when there was "
    "no wind]. ",
};

}  // namespace hadal::data
